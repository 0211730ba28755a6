"""The policy of a log: whose signatures on a checkpoint count, and how many are needed.

A policy (C2SP tlog-policy) is a text file with one line each, in this order:

    log <vkey>                      one or more, all of one name: the origin
    witness <name> <vkey>           one per validator
    group validators <q> <names…>   q of these must have cosigned
    quorum validators               (or `quorum none`: q = 0)

`Policy.parse` reads besides empty lines, `#` comments, a URL at the end of log and witness lines,
another group name, `all` and `any`, and `quorum <one witness>`; groups within groups are refused.
Each name is a member once, and no two lines share a public key, so that nobody counts twice. There
are at most 1,000 keys: to check each takes its time, in a browser most.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from ledger.errors import Malformed
from ledger.merkle import SIZE_MAX
from ledger.note import (
    COSIGNATURE_V1,
    ED25519,
    SIGNATURE_LINES_MAX,
    Verifier,
    check_key_name,
    format_vkey,
    parse_vkey,
)

COSIGNERS_MAX: Final = SIGNATURE_LINES_MAX - 1
POLICY_BYTES_MAX: Final = 1_000_000
KEYS_MAX: Final = 1_000
GROUP: Final = "validators"

_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)


def parse_decimal(text: str, *, what: str) -> int:
    """A whole number below 2^63 in decimal without sign or leading zeros.

    Raises:
        Malformed: anything else.
    """
    if not _DECIMAL.match(text) or int(text) > SIZE_MAX:
        raise Malformed(f"{what} is not a decimal number without leading zeros")
    return int(text)


def check_origin(origin: str) -> None:
    """Refuse what cannot be a log's origin.

    Raises:
        Malformed: not a key name, or with a URL scheme.
    """
    check_key_name(origin)
    if "://" in origin:
        raise Malformed("an origin is a URL without its scheme")


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose lines make a checkpoint of `origin` final.

    `log_keys`: algorithm 0x01, each named `origin`. `witnesses`: (name in the policy, cosigner key
    of algorithm 0x04), in the order that bundles keep. `quorum`: how many of them are needed.
    """

    origin: str
    log_keys: tuple[Verifier, ...]
    witnesses: tuple[tuple[str, Verifier], ...]
    quorum: int

    def __post_init__(self) -> None:
        check_origin(self.origin)
        keys = [*self.log_keys, *(verifier for _, verifier in self.witnesses)]
        if not self.log_keys or any(
            key.name != self.origin or key.algorithm != ED25519 for key in self.log_keys
        ):
            raise Malformed("a policy has log keys, all of the origin's name and algorithm 1")
        if any(verifier.algorithm != COSIGNATURE_V1 for _, verifier in self.witnesses):
            raise Malformed("a witness of a policy has a key of algorithm 4")
        if len({key.public_key for key in keys}) != len(keys):
            raise Malformed("no public key stands twice in a policy")
        if len({name for name, _ in self.witnesses}) != len(self.witnesses):
            raise Malformed("no witness stands twice in a policy")
        if not 0 <= self.quorum <= min(len(self.witnesses), COSIGNERS_MAX):
            raise Malformed(f"a quorum of {self.quorum} of {len(self.witnesses)} cannot be reached")

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All keys: the log's, then the witnesses'."""
        return (*self.log_keys, *(verifier for _, verifier in self.witnesses))

    def format(self) -> str:
        """The policy file in the one form that we write."""
        lines = [f"log {_vkey(key)}" for key in self.log_keys]
        lines += [f"witness {name} {_vkey(key)}" for name, key in self.witnesses]
        if self.quorum:
            names = [name for name, _ in self.witnesses]
            group = GROUP
            while group in names:  # groups and witnesses share one room of names
                group += "-"
            lines += [f"group {group} {self.quorum} {' '.join(names)}", f"quorum {group}"]
        else:
            lines += ["quorum none"]
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy of a file, as the module describes.

        Raises:
            Malformed: a line that is none of these, a name unknown or twice, no log, no quorum.
            BadSignature: a key that is not a valid point.
        """
        reader = _PolicyReader()
        if len(text) > POLICY_BYTES_MAX:
            raise Malformed(f"a policy has at most {POLICY_BYTES_MAX} characters")
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            if words and not words[0].startswith("#"):
                reader.read(words, where=f"line {number} of the policy")
        origin, log_keys, witnesses, quorum = reader.result()
        return cls(origin, log_keys, witnesses, quorum)


def _vkey(verifier: Verifier) -> str:
    return format_vkey(verifier.name, verifier.algorithm, verifier.public_key)


class _PolicyReader:
    """Collects a policy file's lines; every name must be declared before it is used."""

    def __init__(self) -> None:
        self.log_keys: list[Verifier] = []
        self.witnesses: dict[str, Verifier] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: tuple[int, tuple[str, ...]] | None = None

    def read(self, words: list[str], *, where: str) -> None:
        if len(self.log_keys) + len(self.witnesses) == KEYS_MAX and words[0] in {"log", "witness"}:
            raise Malformed(f"a policy has at most {KEYS_MAX} keys")
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.log_keys.append(parse_vkey(vkey))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._declare(name, where)
                self.witnesses[name] = parse_vkey(vkey)
            case ["group", name, threshold, *members] if members:
                self._declare(name, where)
                self.groups[name] = self._group(threshold, members, where)
            case ["quorum", name] if self.quorum is None:
                self.quorum = self._quorum(name, where)
            case _:
                raise Malformed(f"{where} is no line of a policy")

    def _declare(self, name: str, where: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise Malformed(f"{where} declares the name {name} again")

    def _group(self, threshold: str, members: list[str], where: str) -> tuple[int, tuple[str, ...]]:
        if len(set(members)) != len(members) or not self.witnesses.keys() >= set(members):
            raise Malformed(f"{where} has a member that is no witness or stands twice")
        named = {"all": len(members), "any": 1}
        needed = named.get(threshold) or parse_decimal(threshold, what=where)
        if not 1 <= needed <= len(members):
            raise Malformed(f"{where} asks for {needed} of {len(members)}")
        return needed, tuple(members)

    def _quorum(self, name: str, where: str) -> tuple[int, tuple[str, ...]]:
        if name == "none":
            return 0, tuple(self.witnesses)
        if name in self.witnesses:
            return 1, (name,)
        if name not in self.groups:
            raise Malformed(f"{where} names a quorum that is not declared")
        return self.groups[name]

    def result(
        self,
    ) -> tuple[str, tuple[Verifier, ...], tuple[tuple[str, Verifier], ...], int]:
        if not self.log_keys or self.quorum is None:
            raise Malformed("a policy has a log and a quorum")
        needed, members = self.quorum
        witnesses = tuple((name, self.witnesses[name]) for name in members)
        return self.log_keys[0].name, tuple(self.log_keys), witnesses, needed
