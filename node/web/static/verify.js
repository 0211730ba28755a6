// A bundle verified in the reader's own browser (or in Node), from its bytes and a policy alone.
//
//     import { verifyBundle } from "./verify.js";
//     const found = await verifyBundle(bytes, policyText, { nowMs: Date.now() });
//     found.valid, found.steps, found.probability, found.points, found.answer …
//
// The ten steps are those of ledger/bureau/README.md, section 8, in their order; the first that does not
// hold ends the verification. Bundle, notes and proofs are read strictly, the score is recomputed bit
// for bit. Nothing is fetched. A policy that cannot be read throws `Refused`; a browser without Ed25519
// throws `Unsupported`: then `standing verify` does the same on the command line.

import { ERASING_LEAVES_MAX, ERASURE, ERASURE_ACK, LEAVES_MAX, LINK, OPEN, OUTCOME, RATING, Refused,
  decodeAnnotation, decodeBundle, decodeRecord, decodeSeal, decodeTally, encodeAnswer, sameBytes } from "./codec.js";
import { decodeParameters, div } from "./model.js";
import { parsePolicy, verifyCheckpoint } from "./note.js";
import { Unsupported, ascii, hex, merkleRoot, needEd25519, sha256, u32be, u64be, verifyAbsence, verifyInclusion,
  verifyPresence } from "./proof.js";
import { score } from "./score.js";

export { Refused, Unsupported, parsePolicy };

export const MAX_AGE_DAYS = 30;
const DAY_MS = 86_400_000;
const READ_TYPES = new Set([LINK, OPEN, OUTCOME, RATING]);
const OF_ERASING = new Set([ERASURE, ERASURE_ACK]);
const BLOCK_CONTEXT = ascii("standing/block/v1\0");
const KIND_FILE = 0;
const KIND_PLATFORM = 2;

/**
 * Verify a bundle (Uint8Array) by a policy (its text, or what `parsePolicy` made of it).
 *
 * Yields `{valid, steps, answer, asked, probability, points, low, high, thin, sealTime, size, chain, epoch,
 * stale}`: `asked` is what the answer follows from (for `whatif.js`); steps are `{name, ok, detail}`; probability, low and high are Q16 (65,536 is 1); all that
 * follows `steps` is null unless the bundle is valid. `stale`: the answer is as of a time more than
 * `maxAgeDays` before `nowMs`; without `nowMs` nothing is called stale.
 */
export async function verifyBundle(data, policy, { nowMs = null, maxAgeDays = MAX_AGE_DAYS } = {}) {
  await needEd25519();
  const known = typeof policy === "string" ? parsePolicy(policy) : policy;
  const seen = { data, policy: known };
  const steps = [];
  for (const [name, check] of STEPS) {
    try {
      steps.push({ name, ok: true, detail: await check(seen) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      steps.push({ name, ok: false, detail: error.message });
      return { ...NOTHING, valid: false, steps };
    }
  }
  const { answer, bundle, checkpoint, seal } = seen;
  const { probability, points, low, high, thin } = answer;
  return {
    valid: true, steps, answer, asked: seen.asked, probability, points, low, high, thin,
    sealTime: seal.time, size: String(checkpoint.size), chain: hex(bundle.chain), epoch: bundle.block.epoch,
    stale: nowMs !== null && nowMs - answer.question.asOf > maxAgeDays * DAY_MS,
  };
}

const NOTHING = {
  answer: null, asked: null, probability: null, points: null, low: null, high: null, thin: null, sealTime: null,
  size: null, chain: null, epoch: null, stale: false,
};

// Each step sets in `seen` what it proves.
const STEPS = [
  ["form", checkForm],
  ["checkpoint", checkCheckpoint],
  ["seal", checkSeal],
  ["block", checkBlock],
  ["parameters", checkParameters],
  ["files", checkFiles],
  ["openings", checkOpenings],
  ["links", checkLinks],
  ["summary", checkSummary],
  ["score", checkScore],
];

function checkForm(seen) {
  seen.bundle = decodeBundle(seen.data);
  const { files, question } = seen.bundle;
  if (files.some((file, at) => at > 0 && compareSubjects(files[at - 1], file) >= 0)) {
    throw new Refused("the files do not ascend, each once");
  }
  if (!files.some((file) => compareSubjects(file, question) === 0)) {
    throw new Refused("the file of the subject asked about is not there");
  }
  const room = { records: LEAVES_MAX, ofErasing: ERASING_LEAVES_MAX };
  for (const { leaves } of files) {
    for (const { type } of leaves) takeRoom(room, OF_ERASING.has(type));
  }
  return `${seen.data.length} bytes, ${files.length} file(s)`;
}

/** What erasing leaves is counted apart: it closes no file for its readers. */
function takeRoom(room, ofErasing) {
  room[ofErasing ? "ofErasing" : "records"] -= 1;
  if (room.ofErasing < 0 || room.records < 0) {
    throw new Refused(`the files have more leaves ${ofErasing ? "of erasures " : ""}than may be read together`);
  }
}

async function checkCheckpoint(seen) {
  seen.checkpoint = await verifyCheckpoint(seen.bundle.checkpoint, seen.policy);
  return `${seen.policy.quorum} cosignatures over ${seen.checkpoint.size} entries`;
}

function checkSeal(seen) {
  const { seal, inclusion } = seen.bundle;
  const { size, root } = seen.checkpoint;
  verifyInclusion(sha256(0, seal), size - 1n, size, inclusion, root);
  seen.seal = decodeSeal(seal);
  return `block ${seen.seal.height}, sealed ${showTime(seen.seal.time)}`;
}

function checkBlock({ bundle, seal }) {
  const { block, chain } = bundle;
  if (!sameBytes(sha256(BLOCK_CONTEXT, chain, block.bytes), seal.block)) {
    throw new Refused("the block and chain id are not those that the seal names");
  }
  if (block.height !== seal.height || !sameBytes(block.parent, seal.previous) || block.time !== seal.time) {
    throw new Refused("the seal says something else of the block than the block itself");
  }
  return `epoch ${block.epoch} of chain ${hex(chain).slice(0, 16)}…`;
}

function checkParameters(seen) {
  if (!sameBytes(sha256(seen.bundle.parameters), seen.seal.parameters)) {
    throw new Refused("the parameters are not those that the seal names");
  }
  seen.parameters = decodeParameters(seen.bundle.parameters);
  return `model ${seen.parameters.model.id}`;
}

function checkFiles({ bundle, seal }) {
  let leaves = 0;
  for (const { platform, handle, leaves: each, proof } of bundle.files) {
    const value = sha256(2, u64be(each.length), merkleRoot(each.map((leaf) => leaf.bytes)));
    verifyPresence(seal.indexRoot, sha256(KIND_FILE, u32be(platform), handle), value, proof);
    leaves += each.length;
  }
  return `${leaves} leaves, none left out`;
}

function checkOpenings(seen) {
  seen.files = seen.bundle.files.map(openFile);
  const opened = seen.bundle.files.reduce((sum, file) => sum + file.openings.length, 0);
  const erased = seen.files.reduce((sum, { facts }) => sum + facts.filter(({ record }) => record === null).length, 0);
  return `${opened} records opened${erased > 0 ? `, ${erased} erased` : ""}`;
}

function openFile({ platform, handle, leaves, openings }) {
  const erased = checkErasures(leaves);
  const read = leaves.filter((leaf) => READ_TYPES.has(leaf.type));
  const whole = read.filter((leaf) => !erased.has(leaf.logIndex)).length;
  if (whole !== openings.length) {
    throw new Refused(`${openings.length} openings are there for ${whole} leaves`);
  }
  let next = 0;
  const facts = read.map((leaf) => {
    if (erased.has(leaf.logIndex)) return { time: leaf.time, record: null, annotation: null };
    next += 1;
    return openLeaf(leaf, openings[next - 1]);
  });
  return { platform, handle, facts };
}

/**
 * The log indices of a file's erased leaves, told by its own leaves, which must be such as execution makes
 * them: ledger/bureau/README.md, section 9.
 */
export function checkErasures(leaves) {
  const standing = new Map(); // by log index, the first leaf that has it
  const owned = new Set();
  const erased = new Set();
  let highest = -1;
  for (const leaf of leaves) {
    const { logIndex } = leaf;
    if (!standing.has(logIndex)) standing.set(logIndex, leaf);
    if (leaf.type === ERASURE && leaf.target !== null) {
      checkTarget(leaf, standing, owned, erased);
      erased.add(leaf.target);
    } else if (logIndex > highest) {
      owned.add(logIndex);
    } else {
      throw new Refused(`leaf ${logIndex} does not stand above all before it`);
    }
    if (!sameRecord(standing.get(logIndex), leaf)) {
      throw new Refused(`two leaves of log index ${logIndex} are not of one record`);
    }
    highest = Math.max(highest, logIndex);
  }
  return erased;
}

function checkTarget({ target, logIndex }, standing, owned, erased) {
  const what = `the target ${target} of erasure ${logIndex}`;
  if (!owned.has(target)) throw new Refused(`${what} does not stand before it`);
  if (target >= logIndex) throw new Refused(`${what} is not older than it`);
  if (OF_ERASING.has(standing.get(target).type)) {
    throw new Refused(`${what} is of a type that is never erased`);
  }
  if (erased.has(target)) throw new Refused(`${what} is erased already`);
}

const sameRecord = (one, other) => one === other || (one.type === other.type && one.time === other.time
  && sameBytes(one.commitment, other.commitment) && sameBytes(one.annotationHash, other.annotationHash));

/** What an opening tells, after checking that it is the one that the leaf commits to. */
export function openLeaf(leaf, { salt, record: data, signatures, annotation }) {
  const where = `opening of leaf ${leaf.logIndex}`;
  if (!sameBytes(sha256(salt, u32be(data.length), data, signatures), leaf.commitment)) {
    throw new Refused(`${where} is not what the leaf commits to`);
  }
  if (!sameBytes(sha256(salt, annotation), leaf.annotationHash)) {
    throw new Refused(`the annotation in the ${where} is not what the leaf commits to`);
  }
  const record = decodeRecord(data);
  if (record.type !== leaf.type) throw new Refused(`${where} is of another type than the leaf`);
  return factOf(leaf.time, record, annotation, where);
}

/** A record with its block time and its annotation: outcomes and ratings have one, others `[]`. */
export function factOf(time, record, annotation, where = "record") {
  if (record.type === OUTCOME || record.type === RATING) {
    return { time, record, annotation: decodeAnnotation(annotation) };
  }
  if (annotation.length !== 1 || annotation[0] !== 0x90) {
    throw new Refused(`the annotation in the ${where} is not empty`);
  }
  return { time, record, annotation: null };
}

function checkLinks({ bundle, files }) {
  const byName = new Map(files.map((file) => [nameOf(file), file]));
  const neighbours = new Map(files.map((file) => [nameOf(file), neighboursOf(file)]));
  const reached = new Set();
  const waiting = [nameOf(bundle.question)];
  while (waiting.length > 0) {
    const name = waiting.pop();
    if (!byName.has(name)) throw new Refused(`the linked file ${name} is left out`);
    if (!reached.has(name)) {
      reached.add(name);
      waiting.push(...neighbours.get(name));
    }
  }
  if (reached.size !== byName.size) throw new Refused("a file is there that no link leads to");
  return `${files.length - 1} linked file(s), all there`;
}

const nameOf = ({ platform, handle }) => `${platform}:${hex(handle)}`;

function neighboursOf(file) {
  const here = nameOf(file);
  return file.facts.filter(({ record }) => record?.type === LINK).flatMap(({ record }) => {
    const ends = [nameOf(record.first), nameOf(record.second)];
    if (!ends.includes(here)) throw new Refused("a link in a file is not of its subject");
    return ends.filter((end) => end !== here);
  });
}

function checkSummary({ bundle, seal }) {
  const { question: { platform }, summary } = bundle;
  const key = sha256(KIND_PLATFORM, u32be(platform));
  if (summary.data === null) {
    verifyAbsence(seal.indexRoot, key, summary.proof);
    return `platform ${platform} has none yet`;
  }
  verifyPresence(seal.indexRoot, key, sha256(3, summary.data), summary.proof);
  return `of platform ${platform}`;
}

function checkScore(seen) {
  const { question, summary, answerHash } = seen.bundle;
  if (question.asOf > seen.seal.time) {
    throw new Refused("the answer is as of a time that lies behind the seal's");
  }
  const tally = summary.data === null ? null : decodeTally(summary.data);
  seen.asked = { files: seen.files, tally, parameters: seen.parameters, question };
  seen.answer = score(seen.files, tally, seen.parameters, question);
  if (!sameBytes(sha256(encodeAnswer(seen.answer)), answerHash)) {
    throw new Refused("the answer, computed anew, is not the one that the bundle states");
  }
  const asked = question.asOf === seen.seal.time ? "" : ", not the seal's time";
  return `recomputed as of ${showTime(question.asOf)}${asked}`;
}

/** Below, at or above 0 as the first subject comes before, is, or comes after the second. */
function compareSubjects(one, other) {
  if (one.platform !== other.platform) return one.platform - other.platform;
  const at = one.handle.findIndex((byte, place) => byte !== other.handle[place]);
  return at < 0 ? 0 : one.handle[at] - other.handle[at];
}

/** A time in ms since 1970 for people: `2026-03-01 12:00:00 UTC`, in any year. */
export function showTime(timeMs) {
  const seconds = div(timeMs, 1_000);
  const days = div(seconds, 86_400) + 719_468; // since a 1 March; years are counted from March
  let day = days % 146_097;
  const years = div(day - div(day, 1_460) + div(day, 36_524) - div(day, 146_096), 365);
  day -= 365 * years + div(years, 4) - div(years, 100);
  const since = div(5 * day + 2, 153);
  const month = since < 10 ? since + 3 : since - 9;
  const year = years + 400 * div(days, 146_097) + (month <= 2 ? 1 : 0);
  const two = (value) => String(value).padStart(2, "0");
  const date = `${String(year).padStart(4, "0")}-${two(month)}-${two(day - div(153 * since + 2, 5) + 1)}`;
  const inDay = seconds % 86_400;
  return `${date} ${two(div(inDay, 3_600))}:${two(div(inDay, 60) % 60)}:${two(inDay % 60)} UTC`;
}
