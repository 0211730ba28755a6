// What evidence from other platforms weighs: ledger/bureau/README.md, section 5, in whole numbers.

import { Q16_ONE as ONE } from "./codec.js";
import { div, exp2Minus, held, shr } from "./model.js";

const STEPS = 4;
const PLACES = 32;
const PARTS = PLACES / STEPS;
const WIDTH = ONE / PLACES;
const NOTHING = [0, 0, 0, 0, 0];
const UNMEASURED = { workers: 0, losses: NOTHING };

/** The weight of evidence from one platform with its interval, in the order of the answer's bytes. */
function transferOf(platform, { workers, losses }, model) {
  const prior = massesOf(densityOf(NOTHING, model));
  const density = densityOf(losses, model);
  const weight = held(model.elsewhereWeight + meanOf(massesOf(density)) - meanOf(prior), 0, ONE);
  const [low, high] = densestOf(density);
  return { platform, weight, low: Math.min(low, weight), high: Math.max(high, weight), workers };
}

/** The posterior at 0, 1/32 … 1, its highest 2^20. */
function densityOf(losses, model) {
  const costs = Array.from({ length: PLACES + 1 }, (_, place) => {
    const away = Math.abs(place * WIDTH - model.elsewhereWeight);
    return shr(shr(model.transferPrior * away, 16) * away, 16) * 256 + drawn(losses, place); // < 2^46
  });
  const least = Math.min(...costs);
  return costs.map((each) => shr(exp2Minus(shr(each - least, 8)), 10));
}

/** 256 times the loss at a place: the mean of the two parabolas through the five's nearest. */
function drawn(losses, place) {
  const step = div(place, PARTS);
  if (step === STEPS) return losses[STEPS] * 256;
  return [Math.max(1, step), Math.min(STEPS - 1, step + 1)].reduce((total, middle) => {
    const [before, here, behind] = losses.slice(middle - 1, middle + 2);
    const off = place - middle * PARTS;
    return total + 128 * here + 8 * off * (behind - before) + off * off * (before - 2 * here + behind);
  }, 0);
}

const massesOf = (density) => density.slice(1).map((each, at) => density[at] + each);
const sumOf = (numbers) => numbers.reduce((one, two) => one + two, 0);

const meanOf = (masses) =>
  div(sumOf(masses.map((mass, at) => mass * (2 * at + 1))) * WIDTH, 2 * sumOf(masses));

/** The ends of where 90 % lie: of the rest, what lies at the less dense end goes first. */
function densestOf(density) {
  const masses = massesOf(density);
  let [share, left, right] = [div(sumOf(masses), 10), 0, PLACES];
  for (;;) {
    const isLeft = density[left] <= density[right];
    const mass = masses[isLeft ? left : right - 1];
    if (mass > share) {
      const cut = div(WIDTH * share, mass);
      return isLeft ? [left * WIDTH + cut, right * WIDTH] : [left * WIDTH, right * WIDTH - cut];
    }
    share -= mass;
    if (isLeft) left += 1;
    else right -= 1;
  }
}

/** What evidence from each of these platforms weighs, ascending. A tally that names one twice: the last. */
export function transfersOf(platforms, tally, model) {
  const known = new Map((tally === null ? [] : tally.sources).map((each) => [each.platform, each]));
  return [...new Set(platforms)].sort((one, other) => one - other)
    .map((each) => transferOf(each, known.get(each) ?? UNMEASURED, model));
}
