"""What a node counts, in one registry of its own (Prometheus, served at /metrics)."""

from collections import Counter as Counted
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ledger.position import Applied
from node.intake import RefusedOffer

_FSYNC_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
_BLOCK_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Metrics:
    """Counters of the pump, the links and the intake."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.offers = Counter(
            "standing_offers", "Records offered, by answer", ("answer",), registry=registry
        )
        self.refusals = Counter(
            "standing_refused_offers", "Offers refused early, by rule", ("rule",), registry=registry
        )
        self.peer_refusals = Counter(
            "standing_peer_refusals",
            "What peers sent and was refused, by peer and reason",
            ("peer", "reason"),
            registry=registry,
        )
        self.sent_bytes = Counter(
            "standing_peer_sent_bytes", "Bytes of frames sent to peers", registry=registry
        )
        self.received_bytes = Counter(
            "standing_peer_received_bytes", "Bytes of messages from peers", registry=registry
        )
        self.snapshot_bytes = Counter(
            "standing_snapshot_sent_bytes", "Bytes of chunks and manifests given", registry=registry
        )
        self.manifests = Counter("standing_snapshot_manifests", "Manifests made", registry=registry)
        self.links = Gauge("standing_peer_links", "Links that stand", registry=registry)
        self.records = Counter(
            "standing_executed_records",
            "Records executed, by result",
            ("result",),
            registry=registry,
        )
        self.erased = Counter(
            "standing_erased_records", "Erased records destroyed at this node", registry=registry
        )
        self.block_seconds = Histogram(
            "standing_block_execution_seconds",
            "Time to execute a block",
            registry=registry,
            buckets=_BLOCK_BUCKETS,
        )
        self.durable_seconds = Histogram(
            "standing_durable_seconds",
            "From accepting rows until they are on disk",
            registry=registry,
            buckets=_FSYNC_BUCKETS,
        )
        self.executed_height = Gauge(
            "standing_executed_height", "Height of the last executed block", registry=registry
        )
        self.certified_height = Gauge(
            "standing_certified_height",
            "Height of the last certified checkpoint",
            registry=registry,
        )
        self.certified_size = Gauge(
            "standing_certified_size", "Log entries under it", registry=registry
        )

    def count_offers(self, results: Sequence[object]) -> None:
        """Count the answers to offers by their kind, and refusals by rule."""
        for kind, count in Counted(map(type, results)).items():
            self.offers.labels(kind.__name__.lower()).inc(count)
        for result in results:
            if isinstance(result, RefusedOffer):
                self.refusals.labels(result.rule).inc()

    def count_block(self, applied: Applied, seconds: float) -> None:
        """Count an executed block, its records by result, and the time that it took."""
        refused = len(applied.refusals)
        self.records.labels("final").inc(len(applied.records) - refused)
        self.records.labels("refused").inc(refused)
        self.block_seconds.observe(seconds)
        self.executed_height.set(applied.seal.height)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)
