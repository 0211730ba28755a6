// Records about the network itself: who is a member, the model, evidence. In no file, read by no score;
// a receipt may hold one. Fields as in ledger/records/membership.py, model.py and evidence.py.

function readProofs(r) {
  r.fixed(5);
  return Array.from({ length: 5 }, () => r.bin(64));
}

/** A model that is asked for: its id and its numbers. Their bounds are the ledger's to judge. */
function readNumbers(r) {
  let id = null;
  const items = r.list(2, 512, () => {
    if (id !== null) return r.uint();
    id = r.code();
    return id;
  });
  return { id, numbers: items.slice(1) };
}

/** Type → number of fields, and how those behind type, platform and date are read. */
export const governance = (readValidator) => ({
  50: [5, (r) => ({ validator: readValidator(r), proofs: readProofs(r) })],
  51: [4, (r) => ({ change: r.bin(32) })],
  52: [9, (r) => ({
    change: r.bin(32), epoch: r.uint(), size: r.uint(), root: r.bin(32),
    voteKey: r.bin(32), laneKey: r.bin(32),
  })],
  53: [4, (r) => ({ number: r.platform() })],
  54: [3, () => ({})],
  55: [6, (r) => ({ rootKey: r.bin(32), validator: readValidator(r), proofs: readProofs(r) })],
  56: [5, (r) => ({ replaces: r.bin(32), model: readNumbers(r) })],
  60: [9, (r) => ({
    kind: r.uint(1, 5), number: r.platform(), epoch: r.uint(), slot: r.uint(),
    first: r.bin(65, 256), second: r.bin(65, 256),
  })],
});
