"""Execution read aloud from ledger/README.md: plain lists and dictionaries, another MessagePack
library, every root made anew. Shares nothing with the code under test but 2^-x and log2.

Judges the four platform-signed records, links, changes of the model with their approvals, and the
stateful rules that random histories break.
"""

from hashlib import sha256
from types import SimpleNamespace

import msgpack

from ledger.bureau.fixed import exp2_minus, log2_q22
from tests.reference import merkle, patricia

DAY = 86_400_000


def h(*parts):
    return sha256(b"".join(parts)).digest()


def u32(n):
    return n.to_bytes(4, "big")


class Ledger:
    def __init__(self, chain, created, genesis_seal_entry, *, parameters, names, members):
        """`parameters` as plain lists, the model's by `names`; `members`: their numbers."""
        self.chain, self.parameters, self.names = chain, parameters, names
        self.members, self.changes, self.open = members, {}, []
        self.models = {parameters[1][0]: parameters[1]}
        self.scales = {scale[0]: scale for scale in parameters[2]}
        self.entries = [genesis_seal_entry]
        self.parent, self.day = chain, created // DAY
        self.subjects, self.engagements = {}, {}
        self.files, self.pairs, self.raters, self.platforms = {}, {}, {}, {}
        self.lately, self.given, self.offsets = {}, {}, {}
        self.links, self.sources, self.compared = [], {}, set()
        self.index, self.changed = {}, set()

    def block(self, height, name, time, batches, *, epoch_ends, validators):
        """Execute; (size, root, seal as a list, [rule or "" per record])."""
        refusals, verdicts, touched = [], [], set()
        self.hour = time // 3_600_000
        self.pass_days(time // DAY)
        for header, submissions in batches:
            for position, (salt, record, signatures) in enumerate(submissions):
                commitment = h(salt, u32(len(record)), record, signatures)
                fields = msgpack.unpackb(record, raw=False)
                rule = self.judge(fields, header["lane"], header["time"])
                verdicts.append(rule)
                place = [header["lane"], header["height"], position]
                if rule:
                    refusals.append([*place, commitment, h(salt, rule.encode())])
                    continue
                log_index = len(self.entries)
                self.entries.append(
                    b"\x00"
                    + u32(place[0])
                    + place[1].to_bytes(8, "big")
                    + position.to_bytes(2, "big")
                    + commitment
                )
                files, target, annotation = self.enact(fields, log_index, header["time"])
                if fields[0] == 56:
                    self.changes[commitment] = self.open[-1]
                hashed = h(salt, msgpack.packb(annotation))
                leaf = msgpack.packb([log_index, time, fields[0], commitment, target, hashed])
                for subject in files:
                    self.files.setdefault(subject, []).append(leaf)
                    touched.add(subject)
        for subject in touched:
            leaves = self.files[subject]
            length = len(leaves).to_bytes(8, "big")
            self.index[h(b"\x00", subject)] = h(b"\x02", length, merkle.tree_hash(leaves))
        if epoch_ends:
            for kind, who in self.changed:
                data = self.raters[who] if kind == 1 else self.platform_tally(who)
                self.index[h(bytes([kind]), who)] = h(b"\x03", msgpack.packb(list(data)))
            self.changed = set()
        index_root = patricia.root(patricia.tree(self.index))
        seal = [
            height,
            name,
            self.parent,
            time,
            index_root,
            h(msgpack.packb(refusals)),
            self.parameters_hash,
            validators,
        ]
        self.entries.append(b"\x01" + msgpack.packb(seal))
        if epoch_ends:
            self.bind(time)
        self.parent = name
        return len(self.entries), merkle.tree_hash(self.entries), seal, verdicts

    @property
    def parameters_hash(self):
        return h(msgpack.packb(self.parameters))

    @property
    def model(self):
        return SimpleNamespace(**dict(zip(self.names, self.parameters[1], strict=True)))

    def approved_at(self, change):
        """The log index of the approval that made the quorum, or None."""
        quorum = len(self.members) - (len(self.members) - 1) // 3
        counted = sorted(change["approvals"].values())
        return counted[quorum - 1] if len(counted) >= quorum else None

    def bind(self, time):
        """The first complete change of the model is in force from the next block on."""
        complete = [each for each in self.open if self.approved_at(each) is not None]
        if complete:
            model = min(complete, key=self.approved_at)["model"]
            self.parameters = [self.parameters[0], model, *self.parameters[2:]]
            self.models[model[0]] = model
            self.open = []
        self.open = [each for each in self.open if each["asked"] + 30 * DAY > time]

    def judge_change(self, fields):
        tag, platform, _, named, *rest = fields
        if tag == 51:
            change = self.changes.get(named)
            if change is None:
                return "unknown-change"
            if not any(change is each for each in self.open):
                return "change-closed"
            return "approval-exists" if platform in change["approvals"] else ""
        [model] = rest
        if named != self.parameters_hash:
            return "model-replaced"
        if model == self.parameters[1]:
            return "model-in-force"
        if self.models.get(model[0], model) != model:
            return "model-id-taken"
        if any(each["model"] == model for each in self.open):
            return "activation-exists"
        own = [each for each in self.open if each["by"] == platform]
        full = len(own) >= 16 and all(self.approved_at(each) is not None for each in own)
        return "too-many-changes" if full else ""

    def change(self, fields, log_index, batch_time):
        tag, platform, _, named, *rest = fields
        if tag == 51:
            self.changes[named]["approvals"][platform] = log_index
            return [], self.changes[named]["index"], []
        own = [each for each in self.open if each["by"] == platform]
        if len(own) >= 16:
            given_up = next(each for each in own if self.approved_at(each) is None)
            self.open = [each for each in self.open if each is not given_up]
        self.open.append({
            "model": rest[0], "by": platform, "index": log_index, "asked": batch_time,
            "approvals": {platform: log_index},
        })  # fmt: skip
        return [], None, []

    def pass_days(self, day):
        for (platform, _), each in self.engagements.items():
            if not each["closed"] and self.day <= each["due"] // DAY < day:
                self.changed.add((2, u32(platform)))
        self.day = day

    def judge(self, fields, lane, batch_time):
        tag, platform, at, *_ = fields
        if at > batch_time:
            return "dated-after-batch"
        if tag == 4:
            return self.judge_link(fields)
        if platform != lane:
            return "foreign-platform"
        return self.judge_change(fields) if tag in {51, 56} else self.judge_work(fields)

    def judge_link(self, fields):
        sides = [u32(fields[i]) + fields[i + 1] for i in (3, 6)]
        if any(each not in self.subjects for each in sides):
            return "unknown-subject"
        here, there = (self.joined(each) for each in sides)
        if here == there:
            return "link-exists"
        return "too-many-links" if len(here | there) > 16 else ""

    def joined(self, subject):
        found, more = set(), {subject}
        while more:
            found |= more
            ends = [end for link in self.links if link & found for end in link]
            more = set(ends) - found
        return found

    def judge_work(self, fields):
        tag, platform, at, *rest = fields
        if tag == 1:
            return "subject-exists" if u32(platform) + rest[0] in self.subjects else ""
        engagement = self.engagements.get((platform, rest[0]))
        if tag == 10:
            if engagement:
                return "engagement-exists"
            known = all(u32(platform) + rest[i] in self.subjects for i in (1, 2))
            return "" if known else "unknown-subject"
        if not engagement:
            return "unknown-engagement"
        if at < engagement["at"]:
            return "dated-before-open"
        if tag == 11:
            return "outcome-exists" if engagement["closed"] else ""
        other = "client" if rest[1] == "of-worker" else "worker"
        if u32(platform) + rest[2] != engagement[other]:
            return "not-a-party"
        return "rating-exists" if rest[1] in engagement["rated"] else ""

    def enact(self, fields, log_index, batch_time):
        tag, platform, at, *rest = fields
        if tag in {51, 56}:
            return self.change(fields, log_index, batch_time)
        if tag == 4:
            sides = [u32(fields[i]) + fields[i + 1] for i in (3, 6)]
            self.links.append(set(sides))
            return sides, None, []
        if tag == 1:
            subject = u32(platform) + rest[0]
            self.subjects[subject] = 0
            self.raters[subject] = (0, 0, rest[2] in {"document", "in-person"})
            return [subject], None, []
        if tag == 10:
            self.changed.add((2, u32(platform)))
            worker, client = u32(platform) + rest[1], u32(platform) + rest[2]
            self.engagements[platform, rest[0]] = {
                "worker": worker, "client": client, "at": at, "known": batch_time,
                "due": rest[7], "index": log_index, "closed": False, "rated": set(),
                "elsewhere": self.elsewhere(platform, worker),
            }  # fmt: skip
            return [worker, client], None, []
        engagement = self.engagements[platform, rest[0]]
        worker, client = engagement["worker"], engagement["client"]
        files = [worker, client]
        late = engagement["known"] > engagement["at"] + 7 * DAY or engagement["known"] >= at
        if tag == 11:
            self.changed.add((2, u32(platform)))
            k = self.pair("outcomes", client, worker)
            standing = self.standing(client)
            told = (rest[5] == "platform", standing, k, self.given_by(client))
            self.close(platform, engagement, rest, told, late)
            return files, engagement["index"], [k, standing, int(late)]
        rater, rated = (client, worker) if rest[1] == "of-worker" else (worker, client)
        engagement["rated"].add(rest[1])
        k = self.pair("ratings", rater, rated)
        standing, given = self.standing(rater), self.given_by(rater)
        severity = self.rate(rated, rest[4], rest[5], standing, given)
        if severity is not None and rated == worker and rest[1] == "of-worker" and not late:
            good, bad = self.lately_of(worker)
            weight = self.weight((False, standing, k, given)) * severity // 65_536
            self.lately[worker] = (good, bad + weight, self.hour)
        self.given[rater] = (given + 65_536, self.hour)
        return files, engagement["index"], [k, standing, int(late)]

    def pair(self, kind, counterparty, subject):
        key = (kind, counterparty, subject)
        self.pairs[key] = self.pairs.get(key, 0) + 1
        return self.pairs[key]

    def standing(self, subject):
        good, bad, attested = self.raters[subject]
        bonus = self.model.attested_bonus if attested else 0
        regard = max(0, good + bonus - self.model.rater_bad_factor * bad)
        regard = min(regard, 2**36)
        return regard * 65_536 // (regard + self.model.standing_half)

    def rate(self, rated, scale, value, standing, given):
        """The severity of a bad rating, or None."""
        _, low, _, middle, good_from = self.scales[scale]
        good, bad, attested = self.raters[rated]
        if value < middle:
            badness = (middle - value) * 65_536 // (middle - low)
            excess = min(self.model.severity_cap, badness * self.model.severity_slope // 65_536)
            self.raters[rated] = (good, bad + standing * (65_536 + excess) // 65_536, attested)
            self.changed.add((1, rated))
            return excess
        if value >= good_from:
            half = self.model.lift_half * 65_536
            self.raters[rated] = (good + standing * half // (half + given), bad, attested)
            self.changed.add((1, rated))
        return None

    def fade(self, amount, since, days):
        hours = self.hour - since
        if not hours:
            return amount
        return amount * (exp2_minus(hours * 65_536 // (days * 24)) >> 14) >> 16

    def given_by(self, subject):
        amount, hour = self.given.get(subject, (0, self.hour))
        return self.fade(amount, hour, self.model.given_half_life_days)

    def lately_of(self, worker):
        good, bad, hour = self.lately.get(worker, (0, 0, self.hour))
        days = self.model.offset_half_life_days
        return self.fade(good, hour, days), self.fade(bad, hour, days)

    def weight(self, told):
        attested, standing, k, _ = told
        return (
            self.model.attested_weight
            if attested
            else max(standing, self.model.standing_floor) // k**2
        )

    def close(self, platform, engagement, rest, told, late):
        engagement["closed"] = True
        status, fault, _, acceptance = rest[1:5]
        if status == "completed":
            sign = {"accepted": 1, "unknown": 1}.get(acceptance, 0)
            if acceptance == "rejected" and fault != "client":
                sign = -1
            if acceptance == "partial" and fault in {"worker", "shared"}:
                sign = -1
        elif status == "late":
            sign = 0 if fault == "client" else -1
        else:
            by_worker = status in {"cancelled-by-worker", "no-show"}
            sign = -1 if by_worker and fault in {"worker", "shared"} else 0
        worker = engagement["worker"]
        earlier = self.subjects[worker]
        if sign and not late:
            self.compare(platform, engagement, sign, told)
            self.learn(platform, worker, sign, told)
        self.subjects[worker] += 1
        heard = told[0] or told[1] >= self.model.newcomer_standing_from
        if sign and heard and earlier < self.model.newcomer_results:
            newcomers, good = self.platforms.get(platform, (0, 0))
            self.platforms[platform] = (newcomers + 1, good + (sign > 0))

    def elsewhere(self, here, worker):
        """What linked files on other platforms hold of late, where it is enough."""
        found = {}
        for subject in self.joined(worker):
            platform = int.from_bytes(subject[:4], "big")
            if platform != here and (platform, worker) not in self.compared:
                good, bad = found.get(platform, (0, 0))
                more_good, more_bad = self.lately_of(subject)
                found[platform] = good + more_good, bad + more_bad
        return {k: v for k, v in found.items() if sum(v) >= self.model.prior_strength}

    def compare(self, here, engagement, sign, told):
        """The bits that the result costs, with evidence from elsewhere at five weights."""
        if not told[0] and told[1] < self.model.newcomer_standing_from:
            return
        worker = engagement["worker"]
        good, bad = self.lately_of(worker)
        for platform, (more_good, more_bad) in sorted(engagement["elsewhere"].items()):
            if (platform, worker) in self.compared:
                continue
            self.compared.add((platform, worker))
            of = self.sources.setdefault(here, {})
            workers, losses = of.get(platform, (0, [0] * 5))
            for quarters in range(5):
                expected = self.expected(
                    here, good + more_good * quarters // 4, bad + more_bad * quarters // 4
                )
                expected = min(61_440, max(4_096, expected))
                chance = expected if sign > 0 else 65_536 - expected
                losses[quarters] += (16 * 2**22 - log2_q22(chance)) // 64
            workers += 1
            if workers >= self.model.transfer_window:
                workers, losses = workers // 2, [each // 2 for each in losses]
            of[platform] = workers, losses

    def learn(self, platform, worker, sign, told):
        """A platform's offset moves by what a result says beyond what was expected."""
        model, one = self.model, 65_536
        good, bad = self.lately_of(worker)
        weight = self.weight(told)
        self.lately[worker] = (
            good + weight * (sign > 0),
            bad + weight * (sign < 0),
            self.hour,
        )
        if self.subjects[worker] < model.newcomer_results:
            return
        strong, other = self.offsets.get(platform, (0, 0))
        expected = self.expected(platform, good, bad)
        move = model.offset_rate * (one - expected if sign > 0 else expected) // one
        attested, standing, k, given = told
        if attested:
            by_strong, by_other = move * model.attested_weight // one, 0
        else:
            half = model.offset_given_half * one
            move = move * half // (half + given) // k**2
            span = model.strong_full - model.strong_from
            share = min(one, max(0, (standing - model.strong_from) * one // span))
            by_strong = move * share // one
            by_other = move - by_strong
        most, other_most = model.offset_max, model.offset_weak_max
        self.offsets[platform] = (
            min(most, max(-most, strong + sign * by_strong)),
            min(other_most, max(-other_most, other + sign * by_other)),
        )

    def expected(self, platform, good, bad):
        """What is expected of the next result of one with these sums of late."""
        model, one = self.model, 65_536
        offset = sum(self.offsets.get(platform, (0, 0)))
        newcomers, good_ones = self.platforms.get(platform, (0, 0))
        prior = model.newcomer_prior
        rate = (good_ones * one + prior * model.newcomer_rate) // (newcomers + prior)
        rate = min(one - 656, max(656, rate))
        prior = model.prior_strength * rate // one
        plus, minus = good + prior, bad + model.prior_strength - prior
        if offset > 0:
            minus = minus * (exp2_minus(offset) >> 14) >> 16
        elif offset < 0:
            plus = plus * (exp2_minus(-offset) >> 14) >> 16
        return plus * one // (plus + minus)

    def platform_tally(self, key):
        platform = int.from_bytes(key, "big")
        own = [each for (number, _), each in self.engagements.items() if number == platform]
        closed = sum(each["closed"] for each in own)
        overdue = sum(not each["closed"] and each["due"] // DAY < self.day for each in own)
        newcomers, good = self.platforms.get(platform, (0, 0))
        offsets = (2**18 + each for each in self.offsets.get(platform, (0, 0)))
        sources = sorted(self.sources.get(platform, {}).items())
        sources = [[number, workers, losses] for number, (workers, losses) in sources]
        return len(own), closed, newcomers, good, overdue, *offsets, sources
