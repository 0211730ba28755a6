"""Small mappings and files for the tests of importing."""

from collections.abc import Callable
from pathlib import Path

import pytest

MAPPING = """
title = "jobs"
note = "made up"

[source]
format = "csv"
columns = ["job", "who", "stars", "day"]

[values]
good = { of = "{stars}", table = { "5" = "yes", "4" = "yes", "1" = "no" }, otherwise = "unclear" }

[times.done]
of = "{day}"
unit = "iso-utc"

[engagement]
reference = "job/{job}"

[subjects.worker]
reference = "who/{who}"
registered = "done"
assurance = "contact"

[subjects.client]
reference = "shop"
registered = "done"
assurance = "none"

[[records]]
type = "engagement.open"
at = "done"
worker = "worker"
client = "client"
format = "freelance"
domains = ["writing"]
role = "lead"
due_from = "done"
due_until = "done"
value_band = 2

[[records]]
type = "engagement.outcome"
at = "done"
status = "completed"
fault = { of = "{good}", table = { yes = "none", no = "worker", unclear = "none" } }
lateness_band = 0
acceptance = { of = "{good}", table = { yes = "accepted", no = "rejected", unclear = "unknown" } }
basis = "platform"

[[records]]
type = "rating"
when = { of = { equal = ["{stars}", ""] }, table = { yes = "no", no = "yes" } }
at = "done"
direction = "of-worker"
rater = "client"
rater_key = ""
scale = "stars-5"
value = "{stars}"
dimensions = [["quality", "{stars}"]]
"""


@pytest.fixture
def mapping_text() -> str:
    return MAPPING


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_(content: str | bytes, name: str = "jobs.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_
