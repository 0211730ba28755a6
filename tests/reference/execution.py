"""Execution read aloud from ledger/README.md: plain lists and dictionaries, another MessagePack
library, every root made anew. Shares nothing with the code under test but the rater arithmetic.

Judges the four platform-signed records and the stateful rules that random histories break.
"""

from hashlib import sha256

import msgpack

from tests.reference import merkle, patricia

DAY = 86_400_000


def h(*parts):
    return sha256(b"".join(parts)).digest()


def u32(n):
    return n.to_bytes(4, "big")


class Ledger:
    def __init__(self, chain, created, genesis_seal_entry, *, parameters_hash, model, scales):
        self.chain, self.parameters_hash = chain, parameters_hash
        self.model, self.scales = model, scales
        self.entries = [genesis_seal_entry]
        self.parent, self.day = chain, created // DAY
        self.subjects, self.engagements = {}, {}
        self.files, self.pairs, self.raters, self.platforms = {}, {}, {}, {}
        self.index, self.changed = {}, set()

    def block(self, height, name, time, batches, *, epoch_ends, validators):
        """Execute; (size, root, seal as a list, [rule or "" per record])."""
        refusals, verdicts, touched = [], [], set()
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
        self.parent = name
        return len(self.entries), merkle.tree_hash(self.entries), seal, verdicts

    def pass_days(self, day):
        for (platform, _), each in self.engagements.items():
            if not each["closed"] and self.day <= each["due"] // DAY < day:
                self.changed.add((2, u32(platform)))
        self.day = day

    def judge(self, fields, lane, batch_time):
        tag, platform, at, *rest = fields
        if at > batch_time:
            return "dated-after-batch"
        if platform != lane:
            return "foreign-platform"
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
            self.close(platform, engagement, rest, standing)
            return files, engagement["index"], [k, standing, int(late)]
        rater, rated = (client, worker) if rest[1] == "of-worker" else (worker, client)
        engagement["rated"].add(rest[1])
        k = self.pair("ratings", rater, rated)
        standing = self.standing(rater)
        self.rate(rated, rest[4], rest[5], standing)
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

    def rate(self, rated, scale, value, standing):
        _, low, _, middle, good_from = self.scales[scale]
        good, bad, attested = self.raters[rated]
        if value < middle:
            badness = (middle - value) * 65_536 // (middle - low)
            excess = min(self.model.severity_cap, badness * self.model.severity_slope // 65_536)
            self.raters[rated] = (good, bad + standing * (65_536 + excess) // 65_536, attested)
            self.changed.add((1, rated))
        elif value >= good_from:
            self.raters[rated] = (good + standing, bad, attested)
            self.changed.add((1, rated))

    def close(self, platform, engagement, rest, standing):
        engagement["closed"] = True
        status, fault, _, acceptance, basis = rest[1:6]
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
        earlier = self.subjects[engagement["worker"]]
        self.subjects[engagement["worker"]] += 1
        heard = basis == "platform" or standing >= self.model.newcomer_standing_from
        if sign and heard and earlier < self.model.newcomer_results:
            newcomers, good = self.platforms.get(platform, (0, 0))
            self.platforms[platform] = (newcomers + 1, good + (sign > 0))

    def platform_tally(self, key):
        platform = int.from_bytes(key, "big")
        own = [each for (number, _), each in self.engagements.items() if number == platform]
        closed = sum(each["closed"] for each in own)
        overdue = sum(not each["closed"] and each["due"] // DAY < self.day for each in own)
        newcomers, good = self.platforms.get(platform, (0, 0))
        return len(own), closed, newcomers, good, overdue
