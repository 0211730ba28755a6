// What evidence from other platforms weighs: ledger/bureau/README.md, sections 2 and 5, in whole numbers.

import { Q16_ONE as ONE } from "./codec.js";
import { div, held, isqrt, shr } from "./model.js";

const STEPS = 4;
const STEP = ONE / STEPS;
const WIDTH = 127_902; // (the normal's 95 % quantile)² / (2 · ln 2), Q16
const UNMEASURED = { workers: 0, losses: null };

/** The weight of evidence from one platform with its interval, in the order of the answer's bytes. */
function transferOf(platform, { workers, losses }, model) {
  let [weight, curve] = [model.elsewhereWeight, model.transferPrior];
  if (losses !== null) {
    const [least, bent] = leastOf(losses.map((loss, step) => loss + priorCost(step * STEP, model)));
    weight = least;
    curve = Math.max(curve, 2 * STEPS * bent); // < 2^42
  }
  const half = isqrt(div(WIDTH * 2 ** 32, curve));
  return { platform, weight, low: Math.max(0, weight - half), high: Math.min(ONE, weight + half), workers };
}

function priorCost(weight, model) {
  const away = Math.abs(weight - model.elsewhereWeight);
  return shr(shr(model.transferPrior * away, 16) * away, 16);
}

/** Where costs at the five weights are least, and their second difference there. */
function leastOf(costs) {
  const best = costs.indexOf(Math.min(...costs));
  const middle = held(best, 1, STEPS - 1);
  const [before, here, behind] = costs.slice(middle - 1, middle + 2);
  const bent = before - 2 * here + behind;
  if (bent <= 0) return [best * STEP, 0];
  const size = div(Math.abs(before - behind) * STEP, 2 * bent); // < 2^37 · 2^14
  return [held(middle * STEP + (before >= behind ? size : -size), 0, ONE), bent];
}

/** What evidence from each of these platforms weighs, ascending. A tally that names one twice: the last. */
export function transfersOf(platforms, tally, model) {
  const known = new Map((tally === null ? [] : tally.sources).map((each) => [each.platform, each]));
  return [...new Set(platforms)].sort((one, other) => one - other)
    .map((each) => transferOf(each, known.get(each) ?? UNMEASURED, model));
}
