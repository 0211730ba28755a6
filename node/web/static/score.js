// The score, recomputed bit for bit: ledger/bureau/README.md, sections 3 to 7, in whole numbers.

import { LINK, OPEN, OUTCOME, Q16_ONE as ONE, RATING, Refused, sameBytes } from "./codec.js";
import { Q22, betaInterval, bitLength, div, held, log2Q22, shr } from "./model.js";
import { transfersOf } from "./transfer.js";
import {
  FAR, NEAR, NOTHING, ON, basisOf, believe, decayed, group, inFull, plus, thinWeight, trusted, undecayed,
} from "./weigh.js";

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
      source: platform,
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

// --- probability, points, interval (section 5) ---

/** In BigInt: a tally may say anything below 2^53. */
export function newcomerRate(tally, model) {
  if (tally === null) return model.newcomerRate;
  const shift = BigInt(Math.max(0, bitLength(tally.newcomers) - 36));
  const good = BigInt(tally.newcomersGood) >> shift;
  const results = BigInt(tally.newcomers) >> shift;
  const weight = BigInt(model.newcomerPrior);
  const rate = (good * 65_536n + weight * BigInt(model.newcomerRate)) / (results + weight);
  return held(Number(rate), 656, ONE - 656);
}

export function pointsOf(p, model) {
  const doublings = log2Q22(p) - log2Q22(ONE - p) - log2Q22(model.pointsOdds);
  const size = shr(model.pointsPerDoubling * Math.abs(doublings) + Q22 / 2, 22);
  return held(model.pointsBase + (doublings >= 0 ? size : -size), model.pointsMin, model.pointsMax);
}

// --- reasons (section 6) and the answer (section 7) ---

function explain(found, rate, offset, belief, model) {
  const { here, beyond, elsewhere, old } = found;
  const home = plus(here, beyond);
  const good = plus(home, elsewhere);
  const points = (mass, at = rate, moved = offset) => pointsOf(believe({
    good: mass, bad: NOTHING, lastingGood: 0, lastingBad: 0, lastWord: 0, rate: at, offset: moved,
  }, model).probability, model);
  const basePoints = points(NOTHING, model.newcomerRate, 0);
  const path = [
    ["platform-newcomers", points(NOTHING, rate, 0)],
    ["platform-offset", points(NOTHING)],
    ["good-outcomes", points(inFull(here))],
    ["few-strong-counterparties", points(trusted(here))],
    ["weak-evidence-capped", points(undecayed(here))],
    ["idle-decay", points(decayed(here))],
    ["other-domains", points(decayed(home))],
    ["other-platforms", points(decayed(good))],
    ["old-bad-outcomes", pointsOf(believe(basisOf(good, old, 0, rate, offset), model).probability, model)],
    ["recent-bad-outcomes", pointsOf(belief.probability, model)],
  ];
  const deltas = path.map(([code, value], at) => ({ code, points: value - (at ? path[at - 1][1] : basePoints) }))
    .filter((each) => each.points !== 0)
    .sort((x, y) => Math.abs(y.points) - Math.abs(x.points)); // stable: ties keep the path's order
  const other = deltas.splice(deltas.length > 4 ? 3 : 4).reduce((sum, each) => sum + each.points, 0);
  if (other !== 0) deltas.push({ code: "other", points: other });
  return [basePoints, deltas];
}

/** The quantiles of a Beta whose mean is the probability and whose sum is the evidence. */
function intervalOf({ plus: good, minus, attested, probability }, model) {
  const words = shr(Math.min(2 ** 30, Math.max(0, good + minus - attested)) * model.intervalWeight, 16);
  const total = Math.min(1_024 * ONE, words + div(attested * ONE, model.attestedWeight)); // < 2^35 · 2^16
  const a = shr(total * probability, 16);
  return betaInterval(a, total - a);
}

/** The answer to a question from files `{platform, handle, facts}`, a tally or null, parameters. */
export function score(files, tally, parameters, question) {
  const { model } = parameters;
  const folded = fold(files, question, parameters);
  const known = question.role === "worker" ? tally : null;
  const sources = folded.evidence.filter((each) => each.elsewhere).map((each) => each.source);
  const transfers = transfersOf(sources, known, model);
  const weights = new Map(transfers.map((each) => [each.platform, each.weight]));
  const found = group(folded.evidence, question.asOf, model, weights);
  const [rate, offset] = [newcomerRate(known, model), known === null ? 0 : known.offset];
  const belief = believe(basisOf(found.good, found.bad, found.lastWord, rate, offset), model);
  const { probability } = belief;
  const weight = thinWeight(found, model);
  const thin = weight < model.thinEvidence;
  const [low, high] = intervalOf(belief, model);
  const [basePoints, reasons] = explain(found, rate, offset, belief, model);
  const { live } = found;
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
    evidence: countsOf(folded, found, files.length, weight, model),
    lastAt: live.length === 0 ? null : live.reduce((latest, each) => Math.max(latest, each.at), 0),
    transfers,
  };
}

/** How many engagements stand behind an answer, in the order of its bytes. */
function countsOf(folded, { live, expired }, files, weight, model) {
  const count = (holds) => live.reduce((sum, each) => sum + (holds(each) ? 1 : 0), 0);
  const words = count((each) => !each.attested);
  const strong = count((each) => !each.attested && each.standing >= model.strongFrom);
  return {
    engagements: folded.engagements,
    good: count((each) => each.sign > 0),
    bad: count((each) => each.sign < 0),
    neutral: folded.neutral,
    open: folded.open,
    overdue: folded.overdue,
    expired,
    attested: live.length - words,
    strong,
    weak: words - strong,
    retrospective: folded.retrospective,
    offDomain: count((each) => each.nearness !== ON),
    elsewhere: count((each) => each.elsewhere),
    files,
    erased: folded.erased,
    weight,
  };
}
