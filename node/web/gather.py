"""Reading a subject's material from a node: its closure of files under the certified checkpoint."""

from typing import Any, Final

from ledger.bureau.answer import Question
from ledger.bureau.evidence import READ_TYPES, Fact, OpenFile
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.encoding import decode
from ledger.files import KIND_PLATFORM, FileItem, closure, read_file, read_summary
from ledger.parameters import Parameters
from ledger.records import decode_record
from ledger.store import Reader
from node.web.dossier import Ground, Material

LEAVES_SHOWN_MAX: Final = 100_000
ANNOTATION_BYTES_MAX: Final = 64
SUMMARY_BYTES_MAX: Final = 1_024


def gather(
    reader: Reader,
    parameters: Parameters,
    ground: Ground,
    codes: dict[int, str],
    question: Question,
) -> Material:
    """A subject's files and its platform's summary, as the checkpoint of `ground` holds them.

    Raises:
        InvalidInput: a file is too long for a page.
        StoreDamaged: a row is not what was written.
    """
    files = [
        OpenFile(
            platform,
            handle,
            [
                fact_of(item)
                for item in read_file(
                    reader, platform, handle, ground.size, leaves_max=LEAVES_SHOWN_MAX
                )
                if item.leaf.type in READ_TYPES
            ],
        )
        for platform, handle in closure(reader, question.platform, question.handle, ground.size)
    ]
    data = read_summary(reader, KIND_PLATFORM, question.platform, b"", ground.height)
    summary = data and decode(PlatformTally, data, bytes_max=SUMMARY_BYTES_MAX, what="summary")
    return Material(files, summary or None, parameters, question, codes, ground)


def fact_of(item: FileItem) -> Fact:
    """A file's leaf, opened; nothing but its time is left of one that was erased."""
    if item.submission is None:
        return Fact(item.leaf.time, None, None)
    annotation: Any = None
    if len(item.annotation) > 1:
        annotation = decode(
            Annotation, item.annotation, bytes_max=ANNOTATION_BYTES_MAX, what="annotation"
        )
    return Fact(item.leaf.time, decode_record(item.submission.record), annotation)
