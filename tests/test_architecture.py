"""The architecture is a test: layers, banned imports, circles, floats, sizes, names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("ledger", "consensus", "node")  # a layer may import itself and those before it
PURE = ("ledger", "consensus")
BANNED_IN_PURE = {
    "asyncio", "aiohttp", "plyvel", "socket", "os", "pathlib", "time", "random", "logging",
    "secrets", "threading", "datetime", "subprocess", "tempfile", "uuid", "ssl", "sys", "io",
}  # fmt: skip
THIRD_PARTY_IN_PURE = {"msgspec", "msgpack", "nacl", "sortedcontainers", "rfc8785"}
BANNED_WORDS = re.compile(r"manager|helper|util|service|processor", re.IGNORECASE)
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
# The protocol's one flat match may be longer than other functions.
LONG_FUNCTIONS = {"consensus/simplex.py:handle"}


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it the statement stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_level_imports(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_down(package: str) -> None:
    above = set(LAYERS[LAYERS.index(package) + 1 :]) | {"tests", "scripts"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in above
    ]
    assert modules(package)
    assert not wrong


def test_pure_layers_import_nothing_impure() -> None:
    wrong = []
    for path in modules(*PURE):
        for name in imports(path):
            top = name.split(".")[0]
            if top in BANNED_IN_PURE:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_pure_layers_use_few_outside_packages() -> None:
    import sys

    known = set(sys.stdlib_module_names) | set(LAYERS) | THIRD_PARTY_IN_PURE
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(*PURE)
        for name in imports(path)
        if name.split(".")[0] not in known
    ]
    assert not wrong


def test_pure_layers_hold_no_float() -> None:
    """No float literal, true division, float() or round() in what can reach a hash or a score."""
    wrong = []
    for path in modules(*PURE):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            named = isinstance(node, ast.Name) and node.id in {"float", "round"}
            maths = (
                isinstance(node, ast.Attribute)
                and (isinstance(node.value, ast.Name) and node.value.id == "math")
                and node.attr not in {"isqrt", "gcd", "comb", "factorial"}
            )
            if literal or division or named or maths:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def test_no_import_circles() -> None:
    names = {name_of(path): path for path in modules(*LAYERS)}
    graph = {
        name: {each for each in module_level_imports(path) if each in names and each != name}
        for name, path in names.items()
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for each in sorted(graph[name]):
                walk(each, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


def test_modules_say_what_they_are_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(*LAYERS)
        if path.read_text("utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_sizes() -> None:
    wrong = []
    for path in modules(*LAYERS):
        where = str(path.relative_to(ROOT))
        text = path.read_text("utf-8")
        if text.count("\n") > MODULE_LINES_MAX:
            wrong.append(f"{where} has {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX and f"{where}:{node.name}" not in LONG_FUNCTIONS:
                    wrong.append(f"{where}:{node.name} has {lines} lines")
    assert not wrong


def test_names_are_words_of_the_field() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in modules(*LAYERS)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and BANNED_WORDS.search(node.name)
    ]
    wrong += [
        str(path.relative_to(ROOT)) for path in modules(*LAYERS) if BANNED_WORDS.search(path.stem)
    ]
    assert not wrong


@pytest.mark.parametrize("package", LAYERS)
def test_each_package_has_its_specification(package: str) -> None:
    text = (ROOT / package / "README.md").read_text("utf-8")
    assert len(text) > 2_000
