// Runs the browser's verifier in Node, for the tests: one JSON object on stdin (`task` and what it
// needs, bytes in hex), one on stdout. One process does a whole run of cases; with `--lines` it takes
// one object a line, and answers each with a line, until stdin ends.

import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

const from = (name) => import(new URL(`../../../../node/web/static/${name}.js`, import.meta.url));
const { decodeBundle, decodeQuestion, decodeRecord, decodeSeal, decodeTally, encodeAnswer } = await from("codec");
const { decodeParameters } = await from("model");
const { parsePolicy, verifyCheckpoint } = await from("note");
const proof = await from("proof");
const { score } = await from("score");
const { baseRate, counterfactuals, informationValue } = await from("whatif");
const { Refused, factOf, showTime, verifyBundle } = await from("verify");

const { hex } = proof;
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

/** What a check yields, or null and why it refused; any other error ends the run. */
async function verdict(check) {
  try {
    return { held: true, value: (await check()) ?? null };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { held: false, value: error.message };
  }
}

const each = (cases, check) => Promise.all(cases.map((one) => verdict(() => check(one))));

function outcome({ valid, steps, answer, ...rest }) {
  return { valid, steps, answer: answer === null ? null : hex(encodeAnswer(answer)), ...rest };
}

/** Files, tally, parameters and question of a case, from its bytes in hex. */
function askedOf({ files, tally, parameters, question }) {
  return {
    files: files.map(({ platform, handle, facts }) => ({
      platform,
      handle: bytes(handle),
      facts: facts.map(([time, record, annotation]) => (record === null
        ? { time, record: null, annotation: null } // erased
        : factOf(time, decodeRecord(bytes(record)), bytes(annotation)))),
    })),
    tally: tally === null ? null : decodeTally(bytes(tally)),
    parameters: decodeParameters(bytes(parameters)),
    question: decodeQuestion(bytes(question)),
  };
}

/** The answer to a case of `random_files.py`, its bytes in hex. */
function answerTo(one) {
  const { files, tally, parameters, question } = askedOf(one);
  return hex(encodeAnswer(score(files, tally, parameters, question)));
}

const TASKS = {
  bundles: async ({ cases }) => {
    const [found, policies] = [[], new Map()];
    for (const { bundle, policy: text, ...options } of cases) {
      if (!policies.has(text)) policies.set(text, parsePolicy(text));
      found.push(outcome(await verifyBundle(bytes(bundle), policies.get(text), options)));
    }
    return found;
  },

  /** Every byte changed, in two ways each; the changes at which it still holds, and by what else fell. */
  mutations: async ({ bundle, policy: text }) => {
    const [data, policy] = [bytes(bundle), parsePolicy(text)];
    const found = { whole: (await verifyBundle(data, policy)).valid, tried: 0, accepted: [], steps: {} };
    const change = async (at, flip) => {
      const changed = data.slice();
      changed[at] ^= flip;
      const { valid, steps } = await verifyBundle(changed, policy);
      const { name } = steps.at(-1);
      found.tried += 1;
      found.steps[name] = (found.steps[name] ?? 0) + 1;
      if (valid) found.accepted.push([at, flip]);
    };
    for (let from = 0; from < data.length; from += 16) {
      const places = Array.from(data.subarray(from, from + 16), (_, at) => from + at);
      await Promise.all(places.flatMap((at) => [change(at, 1 << at % 8), change(at, 0xff)]));
    }
    return found;
  },

  scores: ({ cases }) => each(cases, answerTo),

  /** The same, whatever breaks. */
  answers: ({ cases }) => cases.map((one) => {
    try {
      return answerTo(one);
    } catch (error) {
      return error instanceof Refused ? "refused" : `broke: ${error}`;
    }
  }),

  outlooks: ({ cases }) => each(cases, (one) => {
    const asked = askedOf(one);
    return {
      counterfactuals: counterfactuals(asked).map((told) => Object.values(told)),
      information: informationValue(asked).map((told) => Object.values(told)),
      base: Object.values(baseRate(asked)),
    };
  }),

  signatures: ({ cases }) => Promise.all(cases.map(({ key, message, signature }) =>
    proof.verifySignature(bytes(key), bytes(message), bytes(signature)))),
  keys: ({ cases }) => cases.map((key) =>
    ({ small: proof.isSmallOrder(bytes(key)), valid: proof.isValidPublicKey(bytes(key)) })),
  hashes: ({ cases }) => cases.map((data) => hex(proof.sha256(bytes(data)))),
  roots: ({ cases }) => cases.map((leaves) => hex(proof.merkleRoot(leaves.map(bytes)))),
  times: ({ cases }) => cases.map(showTime),

  inclusions: ({ cases }) => each(cases, ({ leaf, index, size, path, root }) =>
    proof.verifyInclusion(bytes(leaf), BigInt(index), BigInt(size), path.map(bytes), bytes(root))),
  presences: ({ cases }) => each(cases, ({ root, key, value, path }) =>
    proof.verifyPresence(bytes(root), bytes(key), bytes(value), bytes(path))),
  absences: ({ cases }) => each(cases, ({ root, key, path }) =>
    proof.verifyAbsence(bytes(root), bytes(key), bytes(path))),

  forms: ({ cases }) => each(cases, ({ kind, data }) => {
    const decoders = {
      bundle: decodeBundle, record: decodeRecord, seal: decodeSeal, parameters: decodeParameters,
      tally: decodeTally, question: decodeQuestion,
    };
    decoders[kind](bytes(data));
  }),
  policies: ({ cases }) => each(cases, (text) => {
    const { origin, logKeys, witnesses, quorum } = parsePolicy(text);
    const keys = (list) => list.map((key) => hex(key.publicKey));
    return { origin, quorum, logKeys: keys(logKeys), witnesses: keys(witnesses) };
  }),
  checkpoints: ({ cases }) => {
    const policies = new Map(cases.map(({ policy }) => [policy, null]));
    for (const text of policies.keys()) policies.set(text, parsePolicy(text));
    return each(cases, async ({ note, policy }) => {
      const { origin, size, root } = await verifyCheckpoint(bytes(note), policies.get(policy));
      return { origin, size: String(size), root: hex(root) };
    });
  },

  /** How long it takes: the fastest of some runs, in ms. */
  timing: async ({ bundle, policy: text, runs }) => {
    const [data, policy] = [bytes(bundle), parsePolicy(text)];
    let fastest = Infinity;
    for (let run = 0; run < runs; run += 1) {
      const start = performance.now();
      const { valid } = await verifyBundle(data, policy);
      if (!valid) throw new Error("the bundle does not hold");
      fastest = Math.min(fastest, performance.now() - start);
    }
    return { ms: fastest };
  },
};

async function run(text) {
  const { task, ...given } = JSON.parse(text);
  return JSON.stringify(await TASKS[task](given));
}

if (process.argv[2] === "--lines") {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${await run(line)}\n`);
  }
} else {
  process.stdout.write(await run(readFileSync(0, "utf8")));
}
