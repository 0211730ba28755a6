"""Opening a node's store: the ledger's state, what consensus is told of it, whom to ask first."""

from pathlib import Path

from consensus.config import Head
from consensus.silence import mark_new
from ledger.epochs import CHAIN_BYTES_MAX, Trusted, decode_chain, follow
from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Foundation, Genesis, chain_id
from ledger.position import State
from ledger.rows import GENESIS_KEY, HEAD_KEY, need_row
from ledger.state import found, load
from node.config import Config
from node.home import EPOCHS_FILE
from node.index_file import take_index
from node.storage.leveldb import LevelStore


def epochs_file(config: Config) -> Path:
    """Where the chain of epoch ends is looked for: the configured file, or `epochs` beside the
    configured data folder."""
    return config.epochs or config.data.with_name(EPOCHS_FILE)


def load_known(config: Config, foundation: Foundation) -> Trusted | None:
    """The newest set that the file of epoch ends leads to, if there is one.

    Raises:
        Misconfigured: it cannot be read, or does not lead on from this genesis.
    """
    path = epochs_file(config)
    if config.epochs is None and not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return follow(foundation, decode_chain(file.read(CHAIN_BYTES_MAX + 1)))
    except OSError as error:
        raise Misconfigured(f"node.epochs: {path}: {error.strerror}") from error
    except InvalidInput as error:
        raise Misconfigured(
            f"node.epochs: {path} does not hold: {error}; `standing node "
            "epochs NODE.toml --from URL` writes it anew"
        ) from error


def open_ledger(store: LevelStore, genesis: Genesis, config: Config) -> State:
    """The ledger's state from the store; a new store is founded (an unfinished snapshot, which it
    may hold, was wiped before: node/starting.py).

    Raises:
        Misconfigured: the store holds another network's ledger.
        StoreDamaged: rows are missing or contradict each other.
    """
    if store.get(GENESIS_KEY) is None and store.get(HEAD_KEY) is None:
        state, changes = found(genesis, config.window_blocks)
        store.submit({**changes, **mark_new()})
        return state
    stored = need_row(store, Genesis, GENESIS_KEY)
    if chain_id(stored.foundation) != chain_id(genesis.foundation):
        raise Misconfigured(
            f"the store {config.data} holds the ledger of another network "
            f"({chain_id(stored.foundation).hex()}); point node.data to another folder"
        )
    kept = take_index(config.data, config.window_blocks)
    return load(store, config.window_blocks, kept=kept)


def head_of(state: State) -> Head:
    """What consensus is told of the executed ledger."""
    return Head(
        height=state.height,
        hash=state.block_hash,
        time=state.time,
        size=state.size,
        root=state.log.root(),
        cut=state.cut,
        is_erasing=state.erasing,
        is_changing=state.change_waits,
    )
