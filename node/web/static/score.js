// The score, recomputed bit for bit: ledger/bureau/README.md, sections 3 to 7, in whole numbers.

import { LINK, OPEN, OUTCOME, Q16_ONE as ONE, RATING, Refused, sameBytes } from "./codec.js";
import { Q22, betaInterval, bitLength, div, exp2Minus, held, log2Q22, ratioQ16, shr } from "./model.js";

// --- evidence (section 3) ---

function workerSign({ status, fault, acceptance }) {
  if (status === "completed") {
    if (acceptance === "accepted" || acceptance === "unknown") return 1;
    if (acceptance === "rejected") return fault === "client" ? 0 : -1;
    return fault === "worker" || fault === "shared" ? -1 : 0;
  }
  if (status === "late") return fault === "client" ? 0 : -1;
  if (status === "cancelled-by-worker" || status === "no-show") {
    return fault === "worker" || fault === "shared" ? -1 : 0;
  }
  return 0;
}

function clientSign({ status, fault, acceptance }) {
  if (fault === "client" || fault === "shared") return -1;
  return status === "completed" && acceptance === "accepted" ? 1 : 0;
}

/** A rating's grade in Q16; below 0 bad, above 0 good. */
function gradeOf(scale, value) {
  const { low, high, middle, goodFrom } = scale;
  if (value < middle) return -div((middle - value) * ONE, middle - low);
  if (value < goodFrom) return 0;
  return Math.max(1, div((value - middle) * ONE, Math.max(1, high - middle)));
}

/** Each domain's path from the top of the tree, itself last. */
function pathsOf(domains) {
  const paths = new Map();
  for (const { code, parent } of domains) paths.set(code, [...(paths.get(parent) ?? []), code]);
  return paths;
}

const FAR = 0;
const NEAR = 1;
const ON = 2;

function nearness(paths, asked, domains) {
  if (asked === "") return ON;
  const wanted = paths.get(asked);
  return Math.max(...domains.map((domain) => {
    const path = paths.get(domain) ?? [domain];
    if (path.includes(asked)) return ON;
    return path.length > 1 && wanted.length > 1 && path[1] === wanted[1] ? NEAR : FAR;
  }));
}

/** A name for a map of what bytes name. */
function key(platform, bytes) {
  let name = `${platform}:`;
  for (let at = 0; at < 32; at += 2) name += String.fromCharCode(bytes[at] * 256 + bytes[at + 1]);
  return name;
}

/** The engagements in which the subject has the role asked about, with what followed. Counts the erased. */
function gather(files, question, folded) {
  const persons = new Set(files.map((file) => key(file.platform, file.handle)));
  const found = new Map();
  const direction = `of-${question.role}`;
  for (const file of files) {
    for (const { time, record, annotation } of file.facts) {
      if (time > question.asOf) continue;
      if (record === null) folded.erased += 1;
      if (record === null || record.type === LINK) continue;
      const name = key(record.platform, record.reference);
      if (record.type === OPEN) {
        const [mine, other] = question.role === "worker"
          ? [record.worker, record.client] : [record.client, record.worker];
        if (sameBytes(mine, file.handle) && !persons.has(key(record.platform, other))) {
          found.set(name, { platform: file.platform, open: record, outcome: null, rating: null });
        }
        continue;
      }
      const engagement = found.get(name);
      if (engagement === undefined) continue;
      if (record.type === OUTCOME) engagement.outcome = { record, annotation };
      else if (record.type === RATING && record.direction === direction) {
        engagement.rating = { record, annotation };
      }
    }
  }
  return found.values();
}

function fold(files, question, parameters) {
  const { model } = parameters;
  const paths = pathsOf(parameters.domains);
  if (question.domain !== "" && !paths.has(question.domain)) {
    throw new Refused(`domain: there is no domain ${question.domain}`);
  }
  const scales = new Map(parameters.scales.map((scale) => [scale.code, scale]));
  const folded = { evidence: [], engagements: 0, neutral: 0, open: 0, overdue: 0, retrospective: 0, erased: 0 };
  for (const { platform, open, outcome, rating } of gather(files, question, folded)) {
    folded.engagements += 1;
    let grade = 0;
    if (rating !== null) {
      const scale = scales.get(rating.record.scale);
      if (scale === undefined) throw new Refused(`scale: there is no scale ${rating.record.scale}`);
      grade = gradeOf(scale, rating.record.value);
    }
    if (outcome === null && rating === null) {
      folded.open += 1;
      if (open.dueUntil < question.asOf) folded.overdue += 1;
      continue;
    }
    const sign = signOf(outcome, grade, question.role);
    const told = toldBy(outcome, rating, question.role);
    folded.retrospective += told.retrospective;
    if (sign === 0) {
      folded.neutral += 1;
      continue;
    }
    const blamed = sign < 0 && outcome !== null
      && (outcome.record.fault === question.role || outcome.record.fault === "shared");
    const graded = rating === null ? told : rating.annotation;
    folded.evidence.push({
      sign,
      at: (outcome ?? rating).record.at,
      attested: outcome !== null && outcome.record.basis === "platform",
      standing: told.standing,
      pairs: told.pairCount,
      excess: blamed && grade < 0 ? Math.min(model.severityCap, shr(-grade * model.severitySlope, 16)) : 0,
      excessStanding: graded.standing,
      excessPairs: graded.pairCount,
      retrospective: told.retrospective === 1,
      elsewhere: platform !== question.platform,
      nearness: nearness(paths, question.domain, open.domains),
    });
  }
  return folded;
}

function signOf(outcome, grade, role) {
  if (outcome === null) return Math.sign(grade);
  return role === "worker" ? workerSign(outcome.record) : clientSign(outcome.record);
}

/** The annotation with the standing of who told it. */
function toldBy(outcome, rating, role) {
  if (outcome === null || (role === "client" && rating !== null)) return rating.annotation;
  return role === "client" ? { ...outcome.annotation, standing: 0 } : outcome.annotation;
}

// --- weights (section 4) ---

function weigh(piece, asOf, model) {
  const hours = div(Math.max(0, asOf - piece.at), 3_600_000);
  let scope = ONE;
  if (piece.retrospective) scope = shr(scope * model.retrospectiveWeight, 16);
  if (piece.elsewhere) scope = shr(scope * model.elsewhereWeight, 16);
  if (piece.nearness === NEAR) scope = shr(scope * model.nearDomainWeight, 16);
  if (piece.nearness === FAR) scope = shr(scope * model.farDomainWeight, 16);
  const floor = piece.sign > 0 ? model.floorGood : model.floorBad;
  const faded = exp2Minus(div(hours * ONE, model.halfLifeDays * 24)); // hours < 2^32
  const live = shr((floor * 2 ** 14 + shr((ONE - floor) * faded, 16)) * scope, 16);
  const word = piece.attested ? ONE : Math.max(piece.standing, model.standingFloor);
  const pairs = piece.attested ? 1 : piece.pairs;
  const graded = Math.max(piece.excessStanding, model.standingFloor);
  return {
    piece,
    hours,
    strong: piece.attested || piece.standing >= model.strongFrom,
    excessStrong: piece.excessStanding >= model.strongFrom,
    plain: scope * 2 ** 14,
    told: div(shr(scope * 2 ** 14 * word, 16), pairs),
    decayed: div(shr(live * word, 16), pairs),
    excess: shr(div(shr(live * graded, 16), piece.excessPairs) * piece.excess, 16), // ≤ 2^30 · 2^22
  };
}

const MASS_MAX = 2 ** 50;

/** The sum is below 2^53: at most 65,536 / 2 pieces, each at most 2^30 + 2^36. */
function mass(pieces, model, { decay = true, cap = true } = {}) {
  let strong = 0;
  let weak = 0;
  for (const each of pieces) {
    const amount = decay ? each.decayed : each.told;
    const excess = decay ? each.excess : 0;
    if (each.strong) strong += amount;
    else weak += amount;
    if (each.excessStrong) strong += excess;
    else weak += excess;
  }
  return Math.min(MASS_MAX, strong + (cap ? Math.min(weak, model.weakCap * 2 ** 14) : weak));
}

const plainMass = (pieces) => Math.min(MASS_MAX, pieces.reduce((sum, each) => sum + each.plain, 0));

// --- probability, points, interval (section 5) ---

/** In BigInt: a tally may say anything below 2^53. */
function newcomerRate(tally, model) {
  if (tally === null) return model.newcomerRate;
  const shift = BigInt(Math.max(0, bitLength(tally.newcomers) - 36));
  const good = BigInt(tally.newcomersGood) >> shift;
  const results = BigInt(tally.newcomers) >> shift;
  const weight = BigInt(model.newcomerPrior);
  const rate = (good * 65_536n + weight * BigInt(model.newcomerRate)) / (results + weight);
  return held(Number(rate), 656, ONE - 656);
}

function priorOf(rate, model) {
  const good = shr(model.priorStrength * rate, 2);
  return { good, bad: model.priorStrength * 2 ** 14 - good };
}

function pointsOf(p, model) {
  const doublings = log2Q22(p) - log2Q22(ONE - p) - log2Q22(model.pointsOdds);
  const size = shr(model.pointsPerDoubling * Math.abs(doublings) + Q22 / 2, 22);
  return held(model.pointsBase + (doublings >= 0 ? size : -size), model.pointsMin, model.pointsMax);
}

// --- reasons (section 6) and the answer (section 7) ---

function explain(good, bad, base, prior, model) {
  const home = good.filter((each) => !each.piece.elsewhere);
  const here = home.filter((each) => each.piece.nearness === ON);
  const old = bad.filter((each) => each.hours >= model.recentDays * 24);
  const all = mass(good, model);
  const points = (start, plus, minus) => pointsOf(ratioQ16(start.good + plus, start.bad + minus), model);
  const path = [
    ["platform-newcomers", points(prior, 0, 0)],
    ["good-outcomes", points(prior, plainMass(here), 0)],
    ["few-strong-counterparties", points(prior, mass(here, model, { decay: false, cap: false }), 0)],
    ["weak-evidence-capped", points(prior, mass(here, model, { decay: false }), 0)],
    ["idle-decay", points(prior, mass(here, model), 0)],
    ["other-domains", points(prior, mass(home, model), 0)],
    ["other-platforms", points(prior, all, 0)],
    ["old-bad-outcomes", points(prior, all, mass(old, model))],
    ["recent-bad-outcomes", points(prior, all, mass(bad, model))],
  ];
  const basePoints = points(base, 0, 0);
  const deltas = path.map(([code, value], at) => ({ code, points: value - (at ? path[at - 1][1] : basePoints) }))
    .filter((each) => each.points !== 0)
    .sort((x, y) => Math.abs(y.points) - Math.abs(x.points)); // stable: ties keep the path's order
  const other = deltas.splice(deltas.length > 4 ? 3 : 4).reduce((sum, each) => sum + each.points, 0);
  if (other !== 0) deltas.push({ code: "other", points: other });
  return [basePoints, deltas];
}

/** The answer to a question from files `{platform, handle, facts}`, a tally or null, parameters. */
export function score(files, tally, parameters, question) {
  const { model } = parameters;
  const folded = fold(files, question, parameters);
  const weighed = folded.evidence.map((piece) => weigh(piece, question.asOf, model));
  const live = weighed.filter((each) => each.piece.sign > 0 || each.hours < model.adverseStopDays * 24);
  const good = live.filter((each) => each.piece.sign > 0);
  const bad = live.filter((each) => each.piece.sign < 0);
  const base = priorOf(model.newcomerRate, model);
  const prior = priorOf(newcomerRate(question.role === "worker" ? tally : null, model), model);
  const weight = mass(good, model, { decay: false }) + mass(bad, model, { decay: false });
  const thin = weight < model.thinEvidence * 2 ** 14;
  const plus = prior.good + mass(good, model);
  const minus = prior.bad + mass(bad, model);
  const probability = ratioQ16(plus, minus);
  const [low, high] = betaInterval(plus, minus);
  const [basePoints, reasons] = explain(good, bad, base, prior, model);
  return {
    question,
    model: model.id,
    probability: thin ? null : probability,
    points: thin ? null : pointsOf(probability, model),
    low: thin ? low : Math.min(low, probability),
    high: thin ? high : Math.max(high, probability),
    thin,
    basePoints,
    reasons: thin ? [{ code: "thin-file", points: 0 }] : reasons,
    evidence: countsOf(folded, live, weighed.length - live.length, files.length, shr(weight, 14)),
    lastAt: live.length === 0 ? null : live.reduce((latest, each) => Math.max(latest, each.piece.at), 0),
  };
}

/** How many engagements stand behind an answer, in the order of its bytes. */
function countsOf(folded, live, expired, files, weight) {
  const count = (holds) => live.reduce((sum, each) => sum + (holds(each) ? 1 : 0), 0);
  const words = count((each) => !each.piece.attested);
  const strong = count((each) => !each.piece.attested && each.strong);
  return {
    engagements: folded.engagements,
    good: count((each) => each.piece.sign > 0),
    bad: count((each) => each.piece.sign < 0),
    neutral: folded.neutral,
    open: folded.open,
    overdue: folded.overdue,
    expired,
    attested: live.length - words,
    strong,
    weak: words - strong,
    retrospective: folded.retrospective,
    offDomain: count((each) => each.piece.nearness !== ON),
    elsewhere: count((each) => each.piece.elsewhere),
    files,
    erased: folded.erased,
    weight,
  };
}
