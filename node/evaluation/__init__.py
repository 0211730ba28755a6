"""How good the score is, and how hard to game: measured on real events, by the code nodes run."""
