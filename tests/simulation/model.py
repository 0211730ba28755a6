"""A model of the view rules alone, small enough to be walked through: no time, no batches, no code
of `consensus/`. `consensus/simplex.qnt` is the same model in Quint.

Whatever a network can do to honest validators is a step here: a certificate exists as soon as
enough have voted, and an honest validator may act on any that exists, or never hear of it. The f
Byzantine validators have cast every vote there is, for everything; they also propose: any block, of
any view, on any parent, two in a view. So each step is one honest validator's:

    notarize b   it is in b's view, has signed neither notarize nor nullify there, b's parent is
                 notarized (or the root) and every view between them is nullified
    nullify      it has signed neither finalize nor nullify in its view
    finalize b   b is notarized, and it has signed neither finalize nor nullify in b's view
    enter v + 1  v is not below its view, and notarized or nullified

*Agreement*: of two finalized blocks one is the other's ancestor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

ROOT = 0
Block = tuple[int, int]
"""(view, the parent's place among the blocks)."""
Move = tuple[str, int, int, int]
"""(kind, validator, view, place of the block or of the new block's parent)."""


class Conflict(Exception):
    """Two blocks were finalized of which neither is the other's ancestor."""


@dataclass(frozen=True)
class Rules:
    """The rules; each field breaks one of them."""

    quorum_less: int = 0
    finalize_after_nullify: bool = False
    unjustified_parent: bool = False
    two_notarizes: bool = False


INTACT = Rules()
STEPS_EACH = 40
"""Steps of a random schedule, per honest validator."""


class Model:
    """One network's past: blocks, and what each honest validator has signed."""

    def __init__(self, n: int, views: int, rules: Rules = INTACT) -> None:
        self.faults = (n - 1) // 3
        self.honest = n - self.faults
        self.needed = n - self.faults - rules.quorum_less - self.faults
        self.views = views
        self.rules = rules
        self.blocks: list[Block] = [(0, ROOT)]
        self.in_view: list[list[int]] = [[ROOT], *([] for _ in range(views))]
        self.at = [1] * self.honest
        self.notarized_by: list[set[int]] = [set()]
        self.finalized_by: list[set[int]] = [set()]
        self.nullified_by: list[set[int]] = [set() for _ in range(views + 1)]
        self.own_notarize: list[set[int]] = [set() for _ in range(self.honest)]
        self.own_finalize: list[set[int]] = [set() for _ in range(self.honest)]
        self.finalized: list[int] = [ROOT]

    # --- certificates ---

    def notarized(self, block: int) -> bool:
        return block == ROOT or len(self.notarized_by[block]) >= self.needed

    def nullified(self, view: int) -> bool:
        return len(self.nullified_by[view]) >= self.needed

    def left(self, view: int) -> bool:
        """Whether there is a certificate that opens the view behind this one."""
        return self.nullified(view) or any(map(self.notarized, self.in_view[view]))

    def justified(self, parent: int, view: int) -> bool:
        if self.rules.unjustified_parent:
            return self.notarized(parent)
        between = range(self.blocks[parent][0] + 1, view)
        return self.notarized(parent) and all(map(self.nullified, between))

    # --- steps ---

    def moves(self, who: int) -> Iterator[Move]:
        """The steps that an honest validator may take."""
        view = self.at[who]
        if view <= self.views:
            yield from self._votes(who, view)
        for block in self.may_finalize(who):
            yield ("finalize", who, self.blocks[block][0], block)
        for left in range(view, self.views + 1):
            if self.left(left):
                yield ("enter", who, left + 1, 0)

    def _votes(self, who: int, view: int) -> Iterator[Move]:
        has_nullified = who in self.nullified_by[view]
        if (view not in self.own_notarize[who] or self.rules.two_notarizes) and not has_nullified:
            for block in self.in_view[view]:
                parent = self.blocks[block][1]
                if who not in self.notarized_by[block] and self.justified(parent, view):
                    yield ("notarize", who, view, block)
            if len(self.in_view[view]) < 2:
                for parent in range(len(self.blocks)):
                    if self.blocks[parent][0] < view and self.justified(parent, view):
                        yield ("propose", who, view, parent)
        may = view not in self.own_finalize[who] or self.rules.finalize_after_nullify
        if may and not has_nullified:
            yield ("nullify", who, view, 0)

    def may_finalize(self, who: int) -> Iterator[int]:
        for block in range(1, len(self.blocks)):
            view = self.blocks[block][0]
            has_nullified = who in self.nullified_by[view]
            if has_nullified and not self.rules.finalize_after_nullify:
                continue
            if self.notarized(block) and view not in self.own_finalize[who]:
                yield block

    def take(self, move: Move) -> None:
        """Take a step.

        Raises:
            Conflict: it finalizes a block beside another.
        """
        kind, who, view, block = move
        if kind == "enter":
            self.at[who] = view
        elif kind == "nullify":
            self.nullified_by[view].add(who)
        elif kind == "finalize":
            self.own_finalize[who].add(view)
            self.finalized_by[block].add(who)
            if len(self.finalized_by[block]) == self.needed:
                self._finalize(block)
        else:
            if kind == "propose":
                block = self._add(view, block)
            self.own_notarize[who].add(view)
            self.notarized_by[block].add(who)

    def _add(self, view: int, parent: int) -> int:
        self.blocks.append((view, parent))
        self.in_view[view].append(len(self.blocks) - 1)
        self.notarized_by.append(set())
        self.finalized_by.append(set())
        return len(self.blocks) - 1

    def _finalize(self, block: int) -> None:
        for other in self.finalized:
            if not (self._descends(block, other) or self._descends(other, block)):
                raise Conflict(f"{self.blocks[block]} and {self.blocks[other]}")
        self.finalized.append(block)

    def _descends(self, block: int, ancestor: int) -> bool:
        while self.blocks[block][0] > self.blocks[ancestor][0]:
            block = self.blocks[block][1]
        return block == ancestor

    # --- all of it as a value, for an exhaustive walk ---

    def key(self) -> object:
        """Equal for states that differ only in which honest validator is which."""
        return (
            tuple(self.blocks),
            tuple(sorted(self._local(who) for who in range(self.honest))),
        )

    def _local(self, who: int) -> tuple[object, ...]:
        def signed(votes: list[set[int]]) -> tuple[int, ...]:
            return tuple(place for place, by in enumerate(votes) if who in by)

        return (
            self.at[who],
            signed(self.notarized_by),
            signed(self.finalized_by),
            signed(self.nullified_by),
        )

    def copy(self) -> "Model":
        """The same state, to go another way from."""
        other = object.__new__(Model)
        other.__dict__.update(self.__dict__)
        other.blocks = list(self.blocks)
        other.at = list(self.at)
        other.finalized = list(self.finalized)
        for name in (
            "notarized_by", "finalized_by", "nullified_by", "own_notarize", "own_finalize",
        ):  # fmt: skip
            setattr(other, name, [set(each) for each in getattr(self, name)])
        other.in_view = [list(each) for each in self.in_view]
        return other


def walk(seed: int, n: int, rules: Rules = INTACT, *, views: int = 5) -> Model:
    """A random schedule. Some validators are slow, so that they act on what others have left.

    Raises:
        Conflict: the rules do not hold the network together.
    """
    random = Random(seed)
    model = Model(n, views, rules)
    pace = [random.choice((1, 3, 9)) for _ in range(model.honest)]
    fancy = {kind: random.choice((1, 3, 9)) for kind in ("nullify", "finalize", "notarize")}
    fancy |= {"propose": fancy["notarize"], "enter": random.choice((1, 3))}
    for _ in range(STEPS_EACH * model.honest):
        who = random.choices(range(model.honest), pace)[0]
        moves = list(model.moves(who))
        if moves:
            model.take(random.choices(moves, [fancy[move[0]] for move in moves])[0])
    return model


def exhaust(n: int, views: int, rules: Rules = INTACT) -> int:
    """Every state that can be reached within so many views; how many there are.

    Raises:
        Conflict: one of them breaks agreement.
    """
    first = Model(n, views, rules)
    seen = {first.key()}
    waiting = [first]
    while waiting:
        model = waiting.pop()
        for who in range(model.honest):
            for move in model.moves(who):
                after = model.copy()
                after.take(move)
                key = after.key()
                if key not in seen:
                    seen.add(key)
                    waiting.append(after)
    return len(seen)
