"""Reading a subject's material from a node: its closure of files under the certified checkpoint."""

from ledger.bureau.answer import Question
from ledger.bureau.basis import Basis, Certified
from ledger.bureau.reading import decode_tally, opened_file, read_closure, summary_at
from ledger.store import Reader
from node.api.erasures import erasing_of
from node.web.dossier import Ground, Material


def gather(
    reader: Reader, certified: Certified, ground: Ground, codes: dict[int, str], question: Question
) -> Material:
    """A subject's files and its platform's summary, as the certified checkpoint holds them.

    Raises:
        InvalidInput: nobody has registered the subject by then, or there are too many leaves.
        Erased: the checkpoint is older than an erasure of what it needs.
        StoreDamaged: a row is missing or not what was written.
    """
    closure = read_closure(reader, certified, question.platform, question.handle)
    summary = summary_at(reader, certified, question.platform)
    return Material(
        files=[opened_file(*each) for each in closure],
        summary=None if summary is None else decode_tally(summary),
        parameters=Basis(reader, certified).parameters,
        question=question,
        codes=codes,
        ground=ground,
        erased=erasing_of(reader, certified, [each[:2] for each in closure], codes),
    )
