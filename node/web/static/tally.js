// A platform's summary, as the index proves it: ledger/bureau/README.md, section 2.

const OFFSET_ZERO = 2 ** 18; // signed doublings of the odds are written so much too high
const SOURCES_MAX = 100;
const WEIGHTS = 5; // at which evidence from another platform is tried

/** What the score needs of it. */
export function readTally(r) {
  r.fixed(8);
  for (let n = 0; n < 2; n += 1) r.uint(); // opened, closed
  const [newcomers, newcomersGood] = [r.uint(), r.uint(), r.uint()]; // and overdue
  const offset = r.uint(0, 2 * OFFSET_ZERO) + r.uint(0, 2 * OFFSET_ZERO) - 2 * OFFSET_ZERO;
  return { newcomers, newcomersGood, offset, sources: r.list(0, SOURCES_MAX, () => readSource(r)) };
}

/** What another platform's evidence tells of its results: bits lost at each weight, by how many workers. */
function readSource(r) {
  r.fixed(3);
  const [platform, workers] = [r.platform(), r.uint(0, 2 ** 18)];
  r.fixed(WEIGHTS);
  return { platform, workers, losses: Array.from({ length: WEIGHTS }, () => r.uint(0, 2 ** 36)) };
}
