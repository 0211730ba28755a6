// The model's numbers, and the integer arithmetic of the score: ledger/bureau/README.md, section 1 and
// the interval of section 5.
//
// JavaScript numbers hold whole numbers below 2^53 exactly; the bounds of the model and of 65,536
// leaves keep every product and sum below that (noted where it is not plain). Qn is a whole number in
// units of 2^-n. Division and shifts are of non-negative numbers and round down.

import { CODE_CHARS_MAX, PARAMETERS_BYTES_MAX, Q16_ONE, Refused, whole } from "./codec.js";

// --- parameters ---

const SHARE = [0, Q16_ONE];
const UNITS = [0, 64 * Q16_ONE];
const DAYS = [1, 36_500];
const POINTS = [0, 10_000];
const COUNT = [0, 1_000_000];
const BITS = [Q16_ONE, 64 * Q16_ONE];
const DOUBLINGS = [0, 2 * Q16_ONE];

// Names in the order of the array, with their bounds (ledger/bureau/model.py).
const MODEL = Object.entries({
  halfLifeDays: DAYS, floorGood: SHARE, floorBad: SHARE, severitySlope: UNITS, severityCap: UNITS,
  attestedWeight: SHARE, standingFloor: SHARE, standingHalf: [1, 64 * Q16_ONE], raterBadFactor: [0, 16],
  attestedBonus: UNITS, liftHalf: COUNT, givenHalfLifeDays: DAYS, nobodyUntil: SHARE, weakFrom: SHARE,
  strongFrom: SHARE, strongFull: SHARE, nobodyGoodCap: UNITS, weakGoodCap: UNITS, nobodyBadCap: UNITS,
  weakBadCap: UNITS, weakLift: SHARE, weakLiftFrom: UNITS, weakDrop: SHARE, nobodyDrop: SHARE,
  lastWord: DOUBLINGS, lastWordDays: DAYS, doubt: SHARE, doubtHalf: UNITS, distrustFrom: UNITS,
  distrustSlope: UNITS, distrustMax: UNITS, priorStrength: UNITS, newcomerRate: SHARE,
  newcomerResults: COUNT, newcomerStandingFrom: SHARE, newcomerWindow: COUNT, newcomerPrior: COUNT,
  offsetRate: SHARE, offsetMax: DOUBLINGS, offsetWeakMax: DOUBLINGS, offsetGivenHalf: COUNT,
  offsetHalfLifeDays: DAYS, intervalWeight: UNITS, thinEvidence: UNITS, retrospectiveWeight: SHARE,
  elsewhereWeight: SHARE, transferPrior: BITS, transferWindow: [2, 2 ** 18], nearDomainWeight: SHARE,
  farDomainWeight: SHARE, recentDays: DAYS, adverseStopDays: DAYS, pointsBase: POINTS,
  pointsPerDoubling: POINTS, pointsOdds: [1, 1_024], pointsMin: POINTS, pointsMax: POINTS,
});

export function decodeParameters(data) {
  const parameters = whole(data, PARAMETERS_BYTES_MAX, "parameters", (r) => {
    r.fixed(4);
    return {
      rulesVersion: r.uint(),
      model: readModel(r),
      scales: r.list(0, 256, () => {
        r.fixed(5);
        const [code, low, high] = [r.code(), r.uint(0, 255), r.uint(0, 255)];
        return { code, low, high, middle: r.uint(0, 255), goodFrom: r.uint(0, 255) };
      }),
      domains: r.list(0, 4_096, () => {
        r.fixed(2);
        return { code: r.code(), parent: r.text(CODE_CHARS_MAX) };
      }),
    };
  });
  checkModel(parameters.model);
  checkScales(parameters.scales);
  checkDomains(parameters.domains);
  return parameters;
}

function readModel(r) {
  r.fixed(1 + MODEL.length);
  const model = { id: r.code() };
  for (const [name, [least, most]] of MODEL) model[name] = r.uint(least, most);
  return model;
}

function checkModel(m) {
  const sound = m.newcomerRate >= 656 && m.newcomerRate <= Q16_ONE - 656 && m.priorStrength >= 6_554
    && m.nobodyUntil < m.weakFrom && m.strongFrom < m.strongFull && m.liftHalf >= 1 && m.offsetGivenHalf >= 1
    && m.doubtHalf >= 1 && m.weakLiftFrom >= 1 && m.attestedWeight >= 656 && m.intervalWeight >= 656
    && m.newcomerPrior >= 1 && m.newcomerWindow >= 2 && m.severityCap <= m.severitySlope
    && m.pointsMin < m.pointsBase && m.pointsBase < m.pointsMax && m.pointsPerDoubling >= 1
    && m.recentDays <= m.adverseStopDays;
  if (!sound) throw new Refused("the model's numbers contradict each other");
}

function checkScales(scales) {
  scales.forEach((each, at) => {
    if (at > 0 && scales[at - 1].code >= each.code) throw new Refused("scales: do not ascend, each once");
    if (!(each.low < each.middle && each.middle <= each.goodFrom && each.goodFrom <= each.high)) {
      throw new Refused(`scales: ${each.code} is not low < middle ≤ good ≤ high`);
    }
  });
}

function checkDomains(domains) {
  const seen = new Set();
  for (const { code, parent } of domains) {
    if (seen.has(code)) throw new Refused(`domains: ${code} stands there twice`);
    if (parent !== "" && !seen.has(parent)) throw new Refused(`domains: ${code} stands before its parent`);
    seen.add(code);
  }
}

// --- whole numbers ---

const ONE = Q16_ONE;
export const Q22 = 2 ** 22;
const Q30 = 2 ** 30;

export const div = (a, b) => (a - (a % b)) / b; // exact: the remainder of two whole numbers is
export const shr = (a, bits) => Math.floor(a / 2 ** bits); // exact: only the exponent changes
export const held = (value, least, most) => Math.min(most, Math.max(least, value));

// --- tables, derived from their definitions ---

/** ⌊2^(30 − i/256)⌋: the largest v with v^256 ≤ 2^(30·256 − i), searched from a guess. */
function exp2Entry(i) {
  const power = 1n << BigInt(30 * 256 - i);
  let v = BigInt(Math.floor(2 ** (30 - i / 256)));
  while (v ** 256n > power) v -= 1n;
  while ((v + 1n) ** 256n <= power) v += 1n;
  return Number(v);
}

/** log2(1 + i/1024) in Q22: 22 squarings, each rounded down. */
function log2Entry(i) {
  let v = (BigInt(1024 + i) << 64n) / 1024n;
  let bits = 0;
  for (let n = 0; n < 22; n += 1) {
    v = (v * v) >> 64n;
    bits *= 2;
    if (v >> 65n) {
      v >>= 1n;
      bits += 1;
    }
  }
  return bits;
}

const EXP2 = Array.from({ length: 257 }, (_, i) => exp2Entry(i));
const LOG2 = [...Array.from({ length: 1024 }, (_, i) => log2Entry(i)), Q22];

// --- functions ---

/** 2^-x in Q30 for x in Q16. */
export function exp2Minus(x) {
  const whole = shr(x, 16);
  if (whole > 30) return 0;
  const part = x % ONE;
  const step = part >> 8;
  const high = EXP2[step];
  return (high - (((high - EXP2[step + 1]) * (part & 255)) >> 8)) >> whole;
}

export const bitLength = (n) => (n >= 2 ** 32 ? 64 - Math.clz32(n / 2 ** 32) : 32 - Math.clz32(n));

/** log2 of 1 ≤ n < 2^53 in Q22. */
export function log2Q22(n) {
  const exponent = bitLength(n) - 1;
  const mantissa = n * 2 ** (52 - exponent);
  const step = shr(mantissa, 42) - 1024;
  const rest = shr(mantissa, 26) % ONE;
  return exponent * Q22 + LOG2[step] + shr((LOG2[step + 1] - LOG2[step]) * rest, 16);
}

/** ⌊part · 2^16 / (part + rest)⌋ held to 1…65,535, bit by bit; the sum is below 2^52. */
export function ratioQ16(part, rest) {
  if (rest === 0) return ONE - 1;
  const total = part + rest;
  let left = part;
  let found = 0;
  for (let n = 0; n < 16; n += 1) {
    left *= 2;
    found *= 2;
    if (left >= total) {
      left -= total;
      found += 1;
    }
  }
  return Math.max(1, found);
}

function isqrt(n) {
  let root = Math.floor(Math.sqrt(n));
  while (root * root > n) root -= 1;
  while ((root + 1) * (root + 1) <= n) root += 1;
  return root;
}

// --- quantiles of the Beta distribution ---

const EDGE = 16 * ONE;
const LN2 = 45_426;
const EVIDENCE_MAX = 1_024 * ONE;

/** The 5 % and 95 % quantiles of Beta(a, b), all in Q16. */
export function betaInterval(aQ16, bQ16) {
  const [a, b] = clip(aQ16, bQ16);
  const spread = isqrt((div(2 ** 36, a) + div(2 ** 36, b)) * 2 ** 12);
  const step = Math.max(1, div(div(spread * ONE, LN2), 8));
  const tilt = log2Q22(a) - log2Q22(b);
  const top = Math.min(EDGE, shr(Math.abs(tilt), 6)) * (tilt >= 0 ? 1 : -1);
  const least = fall(a, b, top);
  const left = walk(a, b, top, -step, least).reverse();
  const line = [...left, [top, 2 ** 20], ...walk(a, b, top, step, least)];
  const places = line.map(([u]) => u);
  const heights = line.map(([, d]) => d);
  const last = line.length - 1;
  const below = places[0] <= -EDGE + step ? tail(heights[0], a, step) : 0;
  const above = places[last] >= EDGE - step ? tail(heights[last], b, step) : 0;
  const masses = heights.slice(1).map((d, at) => heights[at] + d);
  const share = div((below + masses.reduce((x, y) => x + y, 0) + above) * 5, 100);
  const low = place(places, masses, share - below);
  const high = -place(places.map((u) => -u).reverse(), masses.reverse(), share - above);
  return [oddsToQ16(low), oddsToQ16(high)];
}

function clip(a, b) {
  const total = a + b;
  if (total <= EVIDENCE_MAX) return [Math.max(656, a), Math.max(656, b)];
  const shift = Math.max(0, bitLength(total) - 27);
  const scaled = div(shr(a, shift) * EVIDENCE_MAX, shr(total, shift)); // < 2^27 · 2^26
  return [Math.max(656, scaled), Math.max(656, EVIDENCE_MAX - scaled)];
}

function fall(a, b, u) {
  const near = log2Q22(Q30 + exp2Minus(Math.abs(u))) - 30 * Q22;
  const far = near + Math.abs(u) * 64;
  const [left, right] = u >= 0 ? [near, far] : [far, near];
  return shr(a * left + b * right, 16); // a + b ≤ 2^26 + 656; left, right ≤ 17 · 2^22
}

function walk(a, b, top, step, least) {
  const found = [];
  for (let u = top + step; Math.abs(u) <= EDGE; u += step) {
    const density = shr(exp2Minus(shr(Math.max(0, fall(a, b, u) - least), 6)), 10);
    if (density === 0) break;
    found.push([u, density]);
  }
  return found;
}

const tail = (density, weight, step) =>
  2 * div(div(div(density * ONE, weight) * ONE, LN2) * ONE, step);

function place(places, masses, wanted) {
  let share = wanted;
  for (let at = 0; at < masses.length; at += 1) {
    if (share <= masses[at]) {
      const width = places[at + 1] - places[at];
      return places[at] + div(width * Math.max(0, share), Math.max(1, masses[at]));
    }
    share -= masses[at];
  }
  return places[places.length - 1];
}

function oddsToQ16(u) {
  const less = exp2Minus(Math.abs(u));
  return u >= 0 ? ratioQ16(Q30, less) : ratioQ16(less, Q30);
}
