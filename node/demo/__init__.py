"""The demo: four platforms on this machine, and a made-up job market that they furnish.

market.py    the market, from a seed: platforms, people, jobs; each worker's true reliability
jobs.py      one job: how it ends, and what the parties say of it
feed.py      the market's records through the four nodes' HTTP APIs
findings.py  what the demo measures: checkpoints, scores, rank correlation
story.py     the whole, step by step
"""
