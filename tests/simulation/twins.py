"""Twins: two copies of one platform with the same keys, each with its own store and its own view.

The network is split into two sides; each copy stands on one of them. Both copies are honest code,
so what comes of it is what stolen keys, or a store copied to a second machine, would do.
"""

from collections.abc import Iterable

from consensus.inputs import LinkDown, LinkUp, Received
from consensus.messages import Message
from tests.simulation.cluster import Cluster, Node

TWIN = -1
"""The second copy's name among the sides; it signs with the first one's number."""


class Twins:
    """A cluster one of whose platforms is two. `side` holds those on one side of the split."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.number = number
        self.side: set[int] = set()
        self.first = cluster.make_byzantine(number, self._outgoing)
        self.second = Node(cluster, self.first.config, self.first.skew_ms)
        self.second.honest, self.second.outgoing = False, self._outgoing
        cluster.network.deliver = self._deliver
        self._deliver_to_first = type(cluster)._deliver

    def start(self) -> None:
        self.cluster.start()
        self.start_second()

    def start_second(self) -> None:
        self.second.start()
        for other in self._others():
            self.second.feed(LinkUp(other))

    def submit(self, count: int = 1) -> None:
        """Both copies seal a batch of their own."""
        self.cluster.submit(self.number, count)
        first, self.cluster.nodes[self.number] = self.first, self.second
        self.cluster.submit(self.number, count)
        self.cluster.nodes[self.number] = first

    def relink(self) -> None:
        for other in self._others():
            self.second.feed(LinkDown(other))
            self.second.feed(LinkUp(other))
        self.cluster.relink()

    def _others(self) -> Iterable[int]:
        return (number for number in self.cluster.nodes if number != self.number)

    def _together(self, a: int, b: int) -> bool:
        return (a in self.side) == (b in self.side)

    def _outgoing(self, node: Node, target: int, message: Message) -> list[Message]:
        name = TWIN if node is self.second else self.number
        return [message] if self._together(name, target) else []

    def _deliver(self, source: int, target: int, message: Message) -> None:
        if target == self.number:
            if self._together(source, TWIN):
                self.second.feed(Received(source, message))
            if not self._together(source, target):
                return
        elif source != self.number and not self._together(source, target):
            return
        self._deliver_to_first(self.cluster, source, target, message)
