"""Bulk scoring: the same answers whatever the number of processes."""

from concurrent.futures import ThreadPoolExecutor

from ledger.bureau.model import FIRST_MODEL
from node.audit.workers import Inline
from node.evaluation import bulk
from node.evaluation.bulk import file_of, large_file, measure_bulk, measure_large, score_chunk


def test_answers_do_not_depend_on_who_computes_them(monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK", 50)
    shares = []
    alone = measure_bulk(FIRST_MODEL, 230, 1, Inline(), processes=1, on_progress=shares.append)
    with ThreadPoolExecutor(3) as threads:
        together = measure_bulk(FIRST_MODEL, 230, 1, threads, processes=3)
    assert alone["answers_digest"] == together["answers_digest"]
    assert alone["subjects"] == together["subjects"] == 230
    assert alone["records"] == together["records"] > 230
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert alone["cpu_seconds"] > 0
    assert alone["rss_mib_max"] > 10
    other = measure_bulk(FIRST_MODEL, 230, 2, Inline(), processes=1)
    assert other["answers_digest"] != alone["answers_digest"]


def test_files_are_of_their_subject_and_seed():
    assert file_of(1, 7) == file_of(1, 7)
    assert file_of(1, 7) != file_of(2, 7)
    assert file_of(1, 7).handle != file_of(1, 8).handle
    sizes = [len(file_of(1, subject).facts) for subject in range(300)]
    assert min(sizes) >= 4
    assert max(sizes) > 10 * sorted(sizes)[150]


def test_most_files_are_told_and_some_are_thin():
    done = score_chunk(FIRST_MODEL, 1, 0, 200)
    assert 0 < done.thin < 200
    assert len(done.digest) == 32


def test_the_large_file_has_its_thousand_records():
    assert len(large_file().facts) == 1_000
    assert measure_large(FIRST_MODEL)["file_records"] == 1_000
