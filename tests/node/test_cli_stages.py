"""A measurement that is told to end stops what it has started."""

import asyncio
import os
import signal

import pytest
import typer

from node.cli.stages import TOLD_TO_END, run_whole


def test_what_was_measured_is_returned():
    async def measuring():
        return 7

    assert run_whole(measuring()) == 7


def test_sigterm_lets_it_clean_up_first():
    cleaned = []

    async def measuring():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(typer.Exit) as ended:
        run_whole(measuring())
    assert ended.value.exit_code == TOLD_TO_END
    assert cleaned == [True]
