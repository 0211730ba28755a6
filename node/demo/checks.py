"""The demo's two checks, made as anyone would make them: with the command line, in a process apart.

`standing verify` gets the bundle and the policy, nothing else, and no node. `standing audit` gets a
node's address and a member's token, and re-executes the whole ledger.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.errors import StandingError

CHECK_TIMEOUT_S: Final = 300.0
_COMMAND: Final = (sys.executable, "-P", "-m", "node")


class CheckFailed(StandingError):
    """A command that should have judged could not run."""


async def verify(bundle: Path, policy: Path) -> dict[str, Any]:
    """What `standing verify` says of a bundle: `valid`, `steps`, …"""
    return await run(["verify", str(bundle), "--policy", str(policy)])


async def audit(url: str, token: str, policy: Path) -> dict[str, Any]:
    """What `standing audit` says of a running node's ledger: `records`, `findings`, …"""
    return await run(["audit", url, "--policy", str(policy)], {"STANDING_TOKEN": token})


async def run(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a command of `standing` says with `--json`; `environment` is added to this one's.

    Raises:
        CheckFailed: it says no such thing, or does not end.
    """
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), CHECK_TIMEOUT_S)
    except TimeoutError as error:
        raise CheckFailed(f"standing {arguments[0]} did not end in {CHECK_TIMEOUT_S} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        figures: dict[str, Any] = msgspec.json.decode(out)
    except msgspec.MsgspecError as error:
        said = err.decode(errors="replace").strip()[-2_000:]
        raise CheckFailed(
            f"standing {arguments[0]} ended with {process.returncode}: {said}"
        ) from error
    return figures
