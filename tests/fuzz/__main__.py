"""`scripts/fuzz`: the table of targets, for as long as one likes.

Each target runs in a process of its own for `--seconds`. With atheris, coverage of our packages
leads the way from the seeds on, half of the changes being those of `mutate.py`, half libFuzzer's;
`--corpus DIR` keeps what was found interesting, a folder per target, for the next run. Without
atheris (or with `--plain`) changes are drawn by chance, from another seed each run (`--seed` gives
the same one again).

A finding is an input that breaks a target's contract (`target.py`), takes more than 10 s, or more
than 2 GiB. It is written to `fuzz-findings/`, its trace shown, and the exit code is 1. To run it
again: `scripts/fuzz --input FILE TARGET`. 2: no such target.
"""

import argparse
import importlib.util
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from hashlib import sha256
from pathlib import Path
from typing import Any

HANG_S = 10
MEMORY_BYTES = 2 * 1_024**3
FINDINGS = Path("fuzz-findings")
INPUT_BYTES_MAX = 65_536
HOW_TO = "atheris is not installed: no coverage leads the way (pip install -e '.[fuzz]')"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description="Fuzz decoders and verifiers."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all of them")
    parser.add_argument("--list", action="store_true", help="name the targets and end")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--plain", action="store_true", help="without coverage, even with atheris")
    parser.add_argument("--corpus", type=Path, help="keep what is interesting here")
    parser.add_argument("--seed", type=int, help="of the plain mode")
    parser.add_argument("--input", type=Path, help="run one target on one file")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    guided = not given.plain and importlib.util.find_spec("atheris") is not None
    if given.alone:
        [name] = given.targets
        return _led(name, given) if guided else _by_chance(name, given)
    from tests.fuzz.target import attempt
    from tests.fuzz.targets import targets

    if given.list:
        print("\n".join(targets()))
        return 0
    unknown = [name for name in given.targets if name not in targets()]
    if unknown:
        print(f"no target {', '.join(unknown)}; scripts/fuzz --list names them", file=sys.stderr)
        return 2
    if given.input:
        [name] = given.targets
        print("accepted" if attempt(targets()[name], given.input.read_bytes()) else "refused")
        return 0
    if not guided and not given.plain:
        print(HOW_TO, file=sys.stderr)
    failed = [name for name in given.targets or targets() if not _one(name, given)]
    print(f"findings: {', '.join(failed)}; see {FINDINGS}/" if failed else "no finding")
    return 1 if failed else 0


def _one(name: str, given: argparse.Namespace) -> bool:
    """Run a target in a process of its own; whether it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = (given.corpus or Path(folder)) / name
        command = [sys.executable, "-m", "tests.fuzz", "--alone", name, "--corpus", str(corpus)]
        command += ["--seconds", str(given.seconds), *(["--plain"] if given.plain else [])]
        command += ["--seed", str(given.seed)] if given.seed is not None else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode:
        print(f"{name}: FINDING (code {done.returncode})", *lines[-40:], sep="\n  ", flush=True)
        return False
    print(f"{name}: {_summary(lines)}", flush=True)
    return True


def _summary(lines: list[str]) -> str:
    """What a run says of itself: our own last line, or libFuzzer's."""
    told = [line for line in lines if line.startswith(("tried", "Done"))]
    covered = [line for line in lines if " cov: " in line]
    where = covered[-1].split(" cov: ")[1].split(" exec/s")[0] if covered else ""
    return f"{told[-1] if told else 'nothing told'}{', coverage ' + where if where else ''}"


# --- by chance ---


def _by_chance(name: str, given: argparse.Namespace) -> int:
    from tests.fuzz.mutate import random_input
    from tests.fuzz.target import attempt
    from tests.fuzz.targets import targets

    target = targets()[name]
    number = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    rng, until_s = random.Random(f"{number} {name}"), time.monotonic() + given.seconds
    tried = accepted = 0
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _hangs)
    while time.monotonic() < until_s:
        data = random_input(rng, target.seeds)
        signal.alarm(HANG_S)
        try:
            accepted += attempt(target, data)
        except BaseException:
            traceback.print_exc()
            print(f"the input is {_keep(name, data)}")
            return 1
        finally:
            signal.alarm(0)
        tried += 1
    print(f"tried {tried}, accepted {accepted} (seed {number})")
    return 0


def _hangs(*_: Any) -> None:
    raise TimeoutError(f"an input takes more than {HANG_S} s")


def _keep(name: str, data: bytes) -> Path:
    FINDINGS.mkdir(exist_ok=True)
    path = FINDINGS / f"{name}-{sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


# --- led by coverage ---


def _led(name: str, given: argparse.Namespace) -> int:
    """Ends the process: libFuzzer does not come back."""
    import atheris

    with atheris.instrument_imports(include=["ledger", "consensus", "node"]):
        from tests.fuzz.targets import targets
    from tests.fuzz.mutate import changed, random_changes
    from tests.fuzz.target import attempt

    target = targets()[name]
    given.corpus.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(exist_ok=True)
    for seed in target.seeds:
        (given.corpus / sha256(seed).hexdigest()).write_bytes(seed)

    def mutated(data: bytes, size_max: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.getrandbits(1):
            return bytes(atheris.Mutate(data, size_max))
        return changed(bytes(data), random_changes(rng), rng.choice(target.seeds))[:size_max]

    flags = [
        f"-max_total_time={given.seconds}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MEMORY_BYTES >> 20}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        str(given.corpus),
    ]

    def tried(data: bytes) -> None:
        attempt(target, bytes(data))

    atheris.Setup([sys.argv[0], *flags], tried, custom_mutator=mutated)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
