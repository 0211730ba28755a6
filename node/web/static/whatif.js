// What would be, by the real model: ledger/bureau/README.md, section 10. Counterfactuals, what tells most,
// and the base rate.

import { OPEN, OUTCOME, Q16_ONE as ONE, RATING } from "./codec.js";
import { shr } from "./model.js";
import { ascii, sha256, u32be } from "./proof.js";
import { newcomerRate, pointsOf, score } from "./score.js";
import { NOTHING, believe } from "./weigh.js";

export const STEPS = [1, 3, 10];
export const TELLERS = ["platform", "new-counterparty", "known-counterparty"];

/** An engagement that ends at `asOf`, as facts of the subject's own file. */
function engagement({ question, parameters }, nth, teller, good) {
  const { platform, handle, role, domain, asOf } = question;
  const reference = sha256(ascii("standing what if"), handle, u32be(nth));
  const [worker, client] = role === "worker" ? [handle, reference] : [reference, handle];
  const annotation = { pairCount: teller === "known-counterparty" ? nth + 2 : 1, standing: ONE - 1, retrospective: 0 };
  const about = { platform, at: asOf, reference };
  const open = { ...about, type: OPEN, worker, client, domains: [domain === "" ? "work" : domain], dueUntil: asOf };
  const outcome = {
    ...about,
    type: OUTCOME,
    status: good ? "completed" : "late",
    fault: good ? "none" : role,
    acceptance: good ? "accepted" : "unknown",
    basis: teller === "platform" ? "platform" : "counterparty",
  };
  const facts = [{ time: asOf, record: open, annotation: null }, { time: asOf, record: outcome, annotation }];
  const [scale] = parameters.scales;
  if (role === "client" && teller !== "platform" && scale !== undefined) {
    const value = good ? scale.high : scale.middle;
    const rating = { ...about, type: RATING, direction: "of-client", rater: reference, scale: scale.code, value };
    facts.push({ time: asOf, record: rating, annotation });
  }
  return facts;
}

/** The answer after so many more engagements of one kind. `asked`: `{files, tally, parameters, question}`. */
function after(asked, count, teller, good) {
  const { files, tally, parameters, question } = asked;
  const more = Array.from({ length: count }, (_, nth) => engagement(asked, nth, teller, good)).flat();
  const changed = files.map((file) => (isOwn(file, question) ? { ...file, facts: [...file.facts, ...more] } : file));
  return score(changed, tally, parameters, question);
}

const isOwn = (file, question) => file.platform === question.platform
  && file.handle.every((byte, at) => byte === question.handle[at]);

/** Points (null: still thin) and interval after so many more good engagements, by each teller. */
export function counterfactuals(asked) {
  return STEPS.flatMap((engagements) => TELLERS.map((teller) => {
    const { points, low, high } = after(asked, engagements, teller, true);
    return { engagements, teller, points, low, high };
  }));
}

/** How wide the interval is to be expected after one more engagement, by each teller: the best first. */
export function informationValue(asked) {
  const now = score(asked.files, asked.tally, asked.parameters, asked.question);
  const chance = now.probability ?? shr(now.low + now.high, 1);
  const widthAfter = (teller, good) => {
    const { low, high } = after(asked, 1, teller, good);
    return high - low;
  };
  return TELLERS.map((teller) => {
    const width = shr(widthAfter(teller, true) * chance + widthAfter(teller, false) * (ONE - chance), 16);
    return { teller, width, narrower: Math.max(0, now.high - now.low - width) };
  }).sort((one, other) => one.width - other.width); // stable: ties keep the tellers' order
}

/** What is said of somebody of whom nothing is known: probability and points. */
export function baseRate({ tally, parameters: { model }, question }) {
  const known = question.role === "worker" ? tally : null;
  const [rate, offset] = [newcomerRate(known, model), known === null ? 0 : known.offset];
  const nothing = { good: NOTHING, bad: NOTHING, lastingGood: 0, lastingBad: 0, lastWord: 0, rate, offset };
  const { probability } = believe(nothing, model);
  return { rate, probability, points: pointsOf(probability, model) };
}
