// What evidence weighs, and what it comes to: ledger/bureau/README.md, sections 4 and 5, in whole numbers.
//
// No part of a sum exceeds 2^36, no sum of at most 32,768 of them 2^51, no product 2^53.

import { Q16_ONE as ONE } from "./codec.js";
import { div, exp2Minus, ratioQ16, shr } from "./model.js";

export const ON = 2;
export const NEAR = 1;
export const FAR = 0;

const HOUR_MS = 3_600_000;
const MASS_MAX = 2 ** 34;
const UNBOUND = 2 ** 36;
const times = (a, b) => shr(a * b, 16);

// --- weights ---

const NAMES = ["plain", "toldAttested", "toldStrong", "toldWeak", "toldNobody", "attested", "strong", "weak",
  "nobody", "lasting", "thinAttested"];

const sums = () => Object.fromEntries(NAMES.map((name) => [name, 0]));

export const plus = (...all) =>
  Object.fromEntries(NAMES.map((name) => [name, all.reduce((total, each) => total + each[name], 0)]));

const mass = (attested, strong, weak, nobody) => ({
  attested: Math.min(MASS_MAX, shr(attested, 14)),
  strong: Math.min(MASS_MAX, shr(strong, 14)),
  weak: Math.min(MASS_MAX, shr(weak, 14)),
  nobody: Math.min(MASS_MAX, shr(nobody, 14)),
});

export const NOTHING = mass(0, 0, 0, 0);
export const decayed = (s) => mass(s.attested, s.strong, s.weak, s.nobody);
export const undecayed = (s) => mass(s.toldAttested, s.toldStrong, s.toldWeak, s.toldNobody);
export const trusted = (s) => mass(s.toldAttested, s.toldStrong + s.toldWeak + s.toldNobody, 0, 0);
export const inFull = (s) => mass(s.plain, 0, 0, 0);

const ageHours = (at, asOf) => div(Math.max(0, asOf - at), HOUR_MS);
const fading = (hours, days) => shr(exp2Minus(div(hours * ONE, days * 24)), 14); // hours < 2^32

function ramp(value, low, high) {
  if (value <= low) return 0;
  return value >= high ? ONE : div((value - low) * ONE, high - low);
}

/** The strong and the nobody's share of a word of this standing. */
function shares(standing, model) {
  const strong = ramp(standing, model.strongFrom, model.strongFull);
  return [strong, Math.min(ONE - ramp(standing, model.nobodyUntil, model.weakFrom), ONE - strong)];
}

function scopeOf(piece, model, weights) {
  let scope = ONE;
  if (piece.retrospective) scope = times(scope, model.retrospectiveWeight);
  if (piece.elsewhere) scope = times(scope, weights.get(piece.source));
  if (piece.nearness === NEAR) scope = times(scope, model.nearDomainWeight);
  if (piece.nearness === FAR) scope = times(scope, model.farDomainWeight);
  return scope;
}

const word = (plain, standing, pairs, model) =>
  div(div(times(plain, Math.max(standing, model.standingFloor)), pairs), pairs);

function divide(amount, [strong, nobody]) {
  const [byStrong, byNobody] = [times(amount, strong), times(amount, nobody)];
  return [byStrong, amount - byStrong - byNobody, byNobody];
}

function addDecayed(to, amount, parts) {
  const [strong, weak, nobody] = divide(amount, parts);
  to.strong += strong;
  to.weak += weak;
  to.nobody += nobody;
}

function add(to, piece, hours, model, weights) {
  const plain = scopeOf(piece, model, weights) * 2 ** 14;
  const floor = piece.sign > 0 ? model.floorGood : model.floorBad;
  const decay = floor + times(ONE - floor, fading(hours, model.halfLifeDays));
  if (piece.attested) {
    const told = times(plain, model.attestedWeight);
    to.plain += told;
    to.toldAttested += told;
    to.attested += times(told, decay);
    to.lasting += told;
    to.thinAttested += plain;
  } else {
    const told = word(plain, piece.standing, piece.pairs, model);
    const parts = shares(piece.standing, model);
    const [strong, weak, nobody] = divide(told, parts);
    to.plain += plain;
    to.toldStrong += strong;
    to.toldWeak += weak;
    to.toldNobody += nobody;
    to.lasting += strong;
    addDecayed(to, times(told, decay), parts);
  }
  if (piece.excess > 0) {
    const excess = times(word(plain, piece.excessStanding, piece.excessPairs, model), piece.excess); // ≤ 2^36
    const parts = shares(piece.excessStanding, model);
    to.lasting += times(excess, parts[0]);
    addDecayed(to, times(excess, decay), parts);
  }
}

/** All evidence that counts, by what the reasons tell apart. */
export function group(evidence, asOf, model, weights) {
  const found = {
    here: sums(), beyond: sums(), elsewhere: sums(), old: sums(), recent: sums(), lastWord: 0, live: [], expired: 0,
  };
  let newestGood = -1;
  for (const piece of evidence) {
    const hours = ageHours(piece.at, asOf);
    let to;
    if (piece.sign > 0) {
      to = piece.nearness === ON ? found.here : found.beyond;
      if (piece.elsewhere) to = found.elsewhere;
      newestGood = Math.max(newestGood, piece.at);
    } else if (hours >= model.adverseStopDays * 24) {
      found.expired += 1;
      continue;
    } else {
      to = hours < model.recentDays * 24 ? found.recent : found.old;
    }
    add(to, piece, hours, model, weights);
    found.live.push(piece);
  }
  found.good = plus(found.here, found.beyond, found.elsewhere);
  found.bad = plus(found.old, found.recent);
  for (const piece of found.live) {
    if (piece.sign > 0 || piece.attested || piece.at <= newestGood) continue;
    const faded = fading(ageHours(piece.at, asOf), model.lastWordDays);
    const added = times(times(model.lastWord, faded), ONE - shares(piece.standing, model)[0]);
    found.lastWord = Math.max(found.lastWord, added);
  }
  return found;
}

/** What decides whether a file is thin. */
export function thinWeight({ good, bad }, model) {
  const of = (each, cap, nobodyCap) => {
    const told = undecayed(each);
    return Math.min(MASS_MAX, shr(each.thinAttested, 14)) + told.strong
      + Math.min(cap, told.weak + Math.min(nobodyCap, told.nobody));
  };
  return of(good, model.weakGoodCap, model.nobodyGoodCap) + of(bad, model.weakBadCap, model.nobodyBadCap);
}

// --- belief ---

/** The basis of a probability on sums of good and of bad evidence, both decayed. */
export const basisOf = (good, bad, lastWord, rate, offset) => ({
  good: decayed(good),
  bad: decayed(bad),
  lastingGood: Math.min(MASS_MAX, shr(good.lasting, 14)),
  lastingBad: Math.min(MASS_MAX, shr(bad.lasting, 14)),
  lastWord,
  rate,
  offset,
});

/** What is for (`plus`) and against (`minus`) somebody, in Q16, and their probability. */
export function believe({ good, bad, lastingGood, lastingBad, lastWord, rate, offset }, model) {
  const factor = shr(exp2Minus(Math.abs(offset)), 14);
  const [forPlus, forMinus] = [offset < 0 ? factor : ONE, offset > 0 ? factor : ONE];
  const share = div(model.doubt * lastingBad, lastingGood + lastingBad + model.doubtHalf); // ≤ 2^16 · 2^34
  const priorGood = times(model.priorStrength, rate - times(rate, share));
  const baseGood = times(priorGood + good.attested + distrusted(good.strong, bad.strong, model), forPlus);
  const baseBad = times(model.priorStrength - priorGood + bad.attested + bad.strong, forMinus);
  let weak = Math.min(model.weakBadCap, bad.weak);
  let nobody = Math.min(model.nobodyBadCap, bad.nobody, model.weakBadCap - weak);
  const against = Math.min(model.weakLiftFrom, bad.attested + bad.strong + weak + nobody);
  const lift = model.weakLift + ONE - div(against * ONE, model.weakLiftFrom);
  weak = times(weak, forMinus);
  nobody = times(nobody, forMinus);
  const lifted = Math.min(model.weakGoodCap, good.weak + Math.min(model.nobodyGoodCap, good.nobody));
  const forIt = baseGood + Math.min(
    times(distrusted(lifted, bad.strong, model), forPlus),
    roomUp(baseGood, baseBad + weak + nobody, lift),
  );
  let told = baseBad + weak + nobody;
  if (lastWord > 0) told = div(told * ONE, shr(exp2Minus(lastWord), 14));
  const most = baseBad + roomDown(forIt, baseBad, model.weakDrop);
  const known = Math.min(baseBad + weak, most);
  const minus = Math.min(told, most, known + roomDown(forIt, known, model.nobodyDrop));
  const attested = good.attested + bad.attested;
  return { plus: forIt, minus, attested, probability: ratioQ16(forIt, minus) };
}

function distrusted(amount, strongBad, model) {
  const over = Math.min(64 * ONE, Math.max(0, strongBad - model.distrustFrom));
  return div(amount * ONE, ONE + Math.min(model.distrustMax, times(model.distrustSlope, over)));
}

/** How much may be added to what is good until the probability has risen by so much. */
function roomUp(good, bad, lift) {
  const target = ratioQ16(good, bad) + lift;
  return target >= ONE ? UNBOUND : Math.max(0, div(bad * target, ONE - target) - good); // ≤ 2^36 · 2^16
}

/** How much may be added to what is bad until the probability has dropped by so much. */
function roomDown(good, bad, drop) {
  const target = ratioQ16(good, bad) - drop;
  return target <= 0 ? UNBOUND : Math.max(0, div(good * (ONE - target), target) - bad);
}
