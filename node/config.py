"""The TOML file of one node: only what may differ between nodes (what decides validity is genesis).

    [node]    data, genesis, keys: paths, relative to the file's own folder;
              window_blocks (optional): recent checkpoints that index proofs are served against;
              epochs (optional): a file of epoch ends (`/log/epochs`), which lead from genesis to a
              newer set, so that a node far behind knows whom to ask;
              role (optional): "validator", the default, or "observer", which holds no signing keys
    [api]     listen = "host:port"
    [peers]   listen = "host:port"; addresses = { <platform code> = "host:port", … };
              observers (optional): PEM files, the certificates of observers that may follow here
    [[tokens]] name, sha256 (hex of the token's hash), may: some of "read", "write", "govern"
    [[signers]] name, key (hex of an Ed25519 public key), may
    [sync]    snapshot (optional): whether an empty store takes a snapshot, true by default;
              snapshot_min_blocks (optional): of a ledger of fewer blocks it takes none
    [log]     retain (optional): how many of the newest entries are served; 0, the default: all
    [witness] name (optional); [[witness.logs]] origin, vkey: other logs that this node cosigns
    [[witnesses]] url, vkey: outside witnesses that cosign this node's checkpoints

A missing, unknown or wrong key is refused with its name, its line and a suggestion.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from ledger.errors import InvalidInput, Malformed, Misconfigured
from ledger.note import COSIGNATURE_V1, ED25519, Verifier, check_key_name, parse_vkey
from ledger.signing import is_valid_public_key
from ledger.window import WINDOW_BLOCKS
from node.address import Address, parse_address
from node.config_values import OutsideWitness, Right, Signer, Token, WitnessedLog
from node.toml_text import BadToml, parse_toml

__all__ = [
    "Address",
    "Config",
    "OutsideWitness",
    "Right",
    "Signer",
    "Token",
    "WitnessedLog",
    "load_config",
    "parse_address",
    "parse_config",
]

CONFIG_BYTES_MAX: Final = 256 * 1_024
WINDOW_BLOCKS_MAX: Final = 4_096
TOKENS_MAX: Final = 1_000
WITNESSED_LOGS_MAX: Final = 1_000
WITNESSES_MAX: Final = 32
RETAIN_MAX: Final = 2**53 - 1
SNAPSHOT_MIN_BLOCKS: Final = 256
OBSERVERS_MAX: Final = 32
ROLES: Final = ("validator", "observer")
RIGHTS: Final = ("read", "write", "govern")

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "node": ("data", "genesis", "keys", "window_blocks", "epochs", "role"),
    "api": ("listen",),
    "peers": ("listen", "addresses", "observers"),
    "tokens": ("name", "sha256", "may"),
    "signers": ("name", "key", "may"),
    "sync": ("snapshot", "snapshot_min_blocks"),
    "log": ("retain",),
    "witness": ("name", "logs"),
    "witness.logs": ("origin", "vkey"),
    "witnesses": ("url", "vkey"),
}
_OPTIONAL: Final = {
    ("node", "window_blocks"),
    ("node", "epochs"),
    ("node", "role"),
    ("peers", "addresses"),
    ("peers", "observers"),
    ("sync", "snapshot"),
    ("sync", "snapshot_min_blocks"),
    ("log", "retain"),
    ("witness", "name"),
    ("witness", "logs"),
}
_NAME: Final = re.compile(r"[ !#-\[\]-~]{1,128}\Z", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_URL: Final = re.compile(r"https?://[!-~]{1,500}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Config:
    """One node's configuration, complete and checked."""

    data: Path
    genesis: Path
    keys: Path
    window_blocks: int
    api_listen: Address
    peers_listen: Address
    peer_addresses: Mapping[str, Address]
    tokens: tuple[Token, ...]
    signers: tuple[Signer, ...] = ()
    retain: int = 0
    witness_name: str = ""
    witnessed_logs: tuple[WitnessedLog, ...] = ()
    witnesses: tuple[OutsideWitness, ...] = ()
    epochs: Path | None = None
    is_observer: bool = False
    observers: tuple[Path, ...] = ()
    """PEM files of the certificates of observers that this member lets follow."""
    takes_snapshot: bool = True
    """Whether an empty store takes a snapshot (node/snapshot/taking.py)."""
    snapshot_min_blocks: int = SNAPSHOT_MIN_BLOCKS


def load_config(path: Path) -> Config:
    """Read and check a node's TOML file.

    Raises:
        Misconfigured: names the key, its line and, where there is one, a suggestion.
    """
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        if len(data) > CONFIG_BYTES_MAX:
            raise Misconfigured(f"the configuration {path} is longer than {CONFIG_BYTES_MAX} bytes")
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the configuration {path} cannot be read: {error}") from error
    return parse_config(text, base=path.parent, name=str(path))


def parse_config(text: str, *, base: Path, name: str = "configuration") -> Config:
    """The configuration of a TOML text; paths in it are taken from `base`."""
    try:
        tables = parse_toml(text)
    except BadToml as error:
        raise Misconfigured(f"{name} is not TOML: {error}") from error
    return _Reading(text, tables, base, name).config()


class _Reading:
    """One pass over a file's tables that knows on which line each key stands."""

    def __init__(self, text: str, tables: dict[str, Any], base: Path, name: str) -> None:
        self.lines, self.tables, self.base, self.name = text.split("\n"), tables, base, name

    def config(self) -> Config:
        for table in self.tables:
            if table not in _KEYS:
                self._unknown(table, tuple(_KEYS), self._line(table, None), "table")
        node, api, peers = (self._table(table) for table in ("node", "api", "peers"))
        return Config(
            data=self._path(node, "data"),
            genesis=self._path(node, "genesis"),
            keys=self._path(node, "keys"),
            window_blocks=self._window(node),
            api_listen=self._address("api", "listen", api["listen"]),
            peers_listen=self._address("peers", "listen", peers["listen"]),
            peer_addresses=self._addresses(peers.get("addresses", {})),
            tokens=self._tokens(),
            signers=self._signers(),
            retain=self._retain(self._table("log") if "log" in self.tables else {}),
            witness_name=self._witness_name(),
            witnessed_logs=self._witnessed_logs(),
            witnesses=self._witnesses(),
            epochs=self._path(node, "epochs") if "epochs" in node else None,
            is_observer=self._role(node) == "observer",
            observers=self._observers(peers),
            takes_snapshot=self._takes_snapshot(),
            snapshot_min_blocks=self._snapshot_min_blocks(),
        )

    # --- tables and keys ---

    def _table(self, table: str) -> dict[str, Any]:
        found = self.tables.get(table)
        if found is None:
            raise Misconfigured(f"{self.name}: the table [{table}] is missing; add it")
        if not isinstance(found, dict):
            self._wrong(table, None, "must be a table", f"write [{table}]")
        self._check_keys(table, cast("dict[str, Any]", found), 0)
        return cast("dict[str, Any]", found)

    def _check_keys(self, table: str, found: dict[str, Any], nth: int) -> None:
        for key in found:
            if key not in _KEYS[table]:
                self._unknown(key, _KEYS[table], self._line(table, key, nth), f"key of [{table}]")
        for key in _KEYS[table]:
            if key not in found and (table, key) not in _OPTIONAL:
                line = self._line(table, None, nth)
                raise Misconfigured(
                    f"{self.name}, line {line}: [{table}] lacks the key '{key}'; add {key} = …"
                )

    def _line(self, table: str, key: str | None, nth: int = 0) -> int:
        """The line of a table's head, or of a key in it (1 where it cannot be told)."""
        inside, head, seen = False, 1, -1
        for number, line in enumerate(self.lines, 1):
            header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            if header:
                named = header[1].strip("\"'")
                seen += named == table
                inside = named == table and seen == nth
                head = number if inside else head
                if key and named == f"{table}.{key}":
                    return number
            elif key and inside and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
                return number
            elif re.match(rf"""\s*["']?{re.escape(table)}["']?\s*[.=]""", line) and seen < 0:
                head = number
        return head

    def _unknown(self, key: str, known: tuple[str, ...], line: int, what: str) -> None:
        close = get_close_matches(key, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
        raise Misconfigured(f"{self.name}, line {line}: '{key}' is no {what}; {hint}")

    def _wrong(self, table: str, key: str | None, what: str, hint: str, nth: int = 0) -> NoReturn:
        line = self._line(table, key, nth)
        where = f"{table}.{key}" if key else f"[{table}]"
        raise Misconfigured(f"{self.name}, line {line}: '{where}' {what}; {hint}")

    # --- values ---

    def _path(self, node: dict[str, Any], key: str, table: str = "node") -> Path:
        value = node[key]
        if not isinstance(value, str) or not value or "\0" in value:
            self._wrong(table, key, "must be a path", f'write {key} = "…"')
        try:
            return (self.base / value).expanduser()
        except RuntimeError:  # of another person's home, who is not known here
            self._wrong(table, key, "names a home folder that is not here", "write it in full")

    def _window(self, node: dict[str, Any]) -> int:
        value = node.get("window_blocks", WINDOW_BLOCKS)
        if type(value) is not int or not 1 <= value <= WINDOW_BLOCKS_MAX:
            hint = f"write a whole number from 1 to {WINDOW_BLOCKS_MAX}"
            self._wrong("node", "window_blocks", "is out of bounds", hint)
        return value

    def _role(self, node: dict[str, Any]) -> str:
        value = node.get("role", ROLES[0])
        if value not in ROLES:
            self._wrong("node", "role", "is no role", f"choose one of {', '.join(ROLES)}")
        return cast("str", value)

    def _observers(self, peers: dict[str, Any]) -> tuple[Path, ...]:
        found = peers.get("observers", [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self._wrong("peers", "observers", "must list paths", 'write ["observer.crt"]')
        if len(found) > OBSERVERS_MAX:
            self._wrong("peers", "observers", "are too many", f"at most {OBSERVERS_MAX}")
        return tuple(self._path({"observers": each}, "observers", "peers") for each in found)

    def _address(self, table: str, key: str, value: object) -> Address:
        try:
            return parse_address(value if isinstance(value, str) else "")
        except Misconfigured:
            self._wrong(table, key, "must be host:port", 'write "127.0.0.1:8440"')

    def _addresses(self, value: object) -> dict[str, Address]:
        if not isinstance(value, dict):
            self._wrong("peers", "addresses", "must be a table", 'write { b = "127.0.0.1:9441" }')
        found = cast("dict[str, object]", value)
        return {code: self._address("peers", "addresses", each) for code, each in found.items()}

    def _several(self, table: str, found: object, at_most: int) -> list[dict[str, Any]]:
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self._wrong(table, None, "must be an array of tables", f"write [[{table}]]")
        tables = cast("list[dict[str, Any]]", found)
        if len(tables) > at_most:
            self._wrong(table, None, "are too many", f"at most {at_most}")
        return tables

    def _tokens(self) -> tuple[Token, ...]:
        found = self._several("tokens", self.tables.get("tokens", []), TOKENS_MAX)
        tokens = tuple(self._token(each, nth) for nth, each in enumerate(found))
        for nth, token in enumerate(tokens):
            if token.sha256 in {other.sha256 for other in tokens[:nth]}:
                self._wrong("tokens", "sha256", "stands there twice", "make another token", nth)
        return tokens

    def _token(self, found: dict[str, Any], nth: int) -> Token:
        self._check_keys("tokens", found, nth)
        digest = found["sha256"]
        if not isinstance(digest, str) or not _SHA256.match(digest):
            hint = "write the token's SHA-256 in 64 lowercase hex digits"
            self._wrong("tokens", "sha256", "is no SHA-256", hint, nth)
        return Token(self._name("tokens", found, nth), digest, self._may("tokens", found, nth))

    def _signers(self) -> tuple[Signer, ...]:
        found = self._several("signers", self.tables.get("signers", []), TOKENS_MAX)
        signers = tuple(self._signer(each, nth) for nth, each in enumerate(found))
        for nth, signer in enumerate(signers):
            if signer.name in {other.name for other in signers[:nth]}:
                self._wrong("signers", "name", "stands there twice", "choose another name", nth)
        return signers

    def _signer(self, found: dict[str, Any], nth: int) -> Signer:
        self._check_keys("signers", found, nth)
        key = found["key"]
        known = (
            isinstance(key, str) and _SHA256.match(key) and is_valid_public_key(bytes.fromhex(key))
        )
        if not known:
            hint = "write the Ed25519 public key in 64 lowercase hex digits"
            self._wrong("signers", "key", "is no public key", hint, nth)
        return Signer(
            self._name("signers", found, nth), bytes.fromhex(key), self._may("signers", found, nth)
        )

    def _name(self, table: str, found: dict[str, Any], nth: int) -> str:
        name = found["name"]
        if not isinstance(name, str) or not _NAME.match(name):
            self._wrong(table, "name", "must be a name", 'write name = "operator"', nth)
        return name

    def _may(self, table: str, found: dict[str, Any], nth: int) -> frozenset[Right]:
        may = found["may"]
        if not isinstance(may, list) or not may or not all(each in RIGHTS for each in may):
            self._wrong(table, "may", "must list rights", 'write may = ["read", "write"]', nth)
        return frozenset(cast("list[Right]", may))

    # --- sync ---

    def _sync(self) -> dict[str, Any]:
        return self._table("sync") if "sync" in self.tables else {}

    def _takes_snapshot(self) -> bool:
        value = self._sync().get("snapshot", True)
        if type(value) is not bool:
            self._wrong("sync", "snapshot", "is neither true nor false", "write snapshot = true")
        return value

    def _snapshot_min_blocks(self) -> int:
        value = self._sync().get("snapshot_min_blocks", SNAPSHOT_MIN_BLOCKS)
        if type(value) is not int or not 1 <= value <= RETAIN_MAX:
            hint = f"write snapshot_min_blocks = {SNAPSHOT_MIN_BLOCKS}"
            self._wrong("sync", "snapshot_min_blocks", "is no number of blocks", hint)
        return value

    # --- log and witnesses ---

    def _retain(self, log: dict[str, Any]) -> int:
        value = log.get("retain", 0)
        if type(value) is not int or not 0 <= value <= RETAIN_MAX:
            self._wrong("log", "retain", "is out of bounds", "write a number of entries, or 0: all")
        return value

    def _witness(self) -> dict[str, Any]:
        return self._table("witness") if "witness" in self.tables else {}

    def _witness_name(self) -> str:
        name = self._witness().get("name", "")
        if name:
            self._check_name("witness", "name", name, 0)
        return cast("str", name)

    def _witnessed_logs(self) -> tuple[WitnessedLog, ...]:
        table = "witness.logs"
        found = self._several(table, self._witness().get("logs", []), WITNESSED_LOGS_MAX)
        logs: list[WitnessedLog] = []
        for nth, each in enumerate(found):
            self._check_keys(table, each, nth)
            self._check_name(table, "origin", each["origin"], nth)
            log = WitnessedLog(each["origin"], self._vkey(table, each["vkey"], ED25519, nth))
            if log in logs:
                self._wrong(table, "vkey", "stands there twice", "remove one", nth)
            logs.append(log)
        return tuple(logs)

    def _witnesses(self) -> tuple[OutsideWitness, ...]:
        table = "witnesses"
        found = self._several(table, self.tables.get(table, []), WITNESSES_MAX)
        witnesses: list[OutsideWitness] = []
        for nth, each in enumerate(found):
            self._check_keys(table, each, nth)
            url, key = each["url"], self._vkey(table, each["vkey"], COSIGNATURE_V1, nth)
            if not isinstance(url, str) or not _URL.match(url):
                self._wrong(table, "url", "is no URL", 'write url = "https://host/path"', nth)
            if key in {other.key for other in witnesses}:
                self._wrong(table, "vkey", "stands there twice", "remove one", nth)
            witnesses.append(OutsideWitness(url.rstrip("/"), key))
        return tuple(witnesses)

    def _check_name(self, table: str, key: str, value: object, nth: int) -> None:
        try:
            check_key_name(value if isinstance(value, str) else "")
        except Malformed as error:
            self._wrong(table, key, "is no name of a log or key", str(error), nth)

    def _vkey(self, table: str, value: object, algorithm: int, nth: int) -> Verifier:
        try:
            key = parse_vkey(value if isinstance(value, str) else "")
            if key.algorithm != algorithm:
                raise Malformed(f"its algorithm is {key.algorithm}, {algorithm} is needed here")
        except InvalidInput as error:
            self._wrong(table, "vkey", "is no vkey", str(error), nth)
        return key
