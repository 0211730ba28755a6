"""Consensus over the real ledger: records executed by every node alike, across crashes."""

from ledger.rows import BlockRow, block_key, need_row
from tests.ledger.world import World, genesis_of
from tests.simulation.cluster import Cluster, quick_bounds


def test_four_nodes_execute_alike_across_crashes_and_epochs() -> None:
    genesis = genesis_of(4, quick_bounds(4))
    cluster = Cluster(4, 21, genesis=genesis).start()
    world = World(genesis)
    world.time = 1_699_999_000_000

    def seal(number: int, *records: object) -> None:
        items = tuple(world.submit(record) for record in records)  # type: ignore[arg-type]
        cluster.seal(number, items)
        cluster.run_ms(260)

    for number in range(1, 5):
        seal(
            number,
            world.register(f"w{number}", number),
            world.register(f"c{number}", number),
        )
    for step in range(8):
        number = 1 + step % 4
        name = f"job {step}"
        workers = {"worker": f"w{number}", "client": f"c{number}", "platform": number}
        seal(number, world.open(name, **workers), b"not a record")
        seal(number, world.outcome(name, platform=number))
        if step % 3 == 1:
            cluster.crash(1 + (step + 1) % 4, keep=step % 2)
            cluster.run_ms(400)
            cluster.restart(1 + (step + 1) % 4)
            cluster.hear_answers()
    cluster.settle()
    heads = {node.ledger.head.root for node in cluster.nodes.values()}
    assert len(heads) == 1
    height = cluster.nodes[1].executed_height()
    assert height > 8, "several epochs of four blocks"
    rows = [need_row(cluster.nodes[1].store, BlockRow, block_key(h)) for h in range(1, height + 1)]
    assert sum(len(row.refusals) for row in rows) == 8, "each undecodable record, once"
    certified = cluster.nodes[1].state.checkpoints.row
    assert certified is not None
    assert (certified.height, certified.root) == (height, rows[-1].root)
