// Canonical MessagePack, read strictly: exactly the shapes of a bundle, in exactly one form.
//
// The reader is led by the shape that must stand there, so whatever is not canonical has no place to
// stand: integers and lengths in their shortest form, arrays of fixed length, no float, no map, no
// extension, no byte too many. Bounds are checked before anything is read. Integers are 0…2^53 − 1.
// Shapes and bounds are those of ledger/README.md and ledger/bureau/README.md.

import { governance } from "./governance.js";
import { readTally } from "./tally.js";

/** What was handed in is wrong. */
export class Refused extends Error {}

export const UINT_MAX = Number.MAX_SAFE_INTEGER;
export const [LEAVES_MAX, ERASING_LEAVES_MAX] = [65_536, 131_072]; // of types 30 and 31 the second
const BUNDLE_BYTES_MAX = 64 * 1024 * 1024;
export const PARAMETERS_BYTES_MAX = 512 * 1024;
const SEAL_BYTES_MAX = 65_535; // with its kind byte
const RECORD_BYTES_MAX = 4_096;
const ANNOTATION_BYTES_MAX = 32;
const SUMMARY_BYTES_MAX = 8_192;
const MAP_PROOF_BYTES_MAX = 64 + 256 * 33;
const NOTE_BYTES_MAX = 1_000_000;
const INCLUSION_HASHES_MAX = 64;
const FILES_MAX = 16;
export const Q16_ONE = 65_536;
const U32_MAX = 2 ** 32 - 1;
const MEMBER_MAX = 2 ** 31 - 1;

const CODE = /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/;
const PLATFORM_CODE = /^(?![0-9]+$)[a-z0-9]+(?:-[a-z0-9]+)*$/;
export const CODE_CHARS_MAX = 48;
const ROLES = ["worker", "client"];
const STATUSES = ["completed", "late", "cancelled-by-worker", "cancelled-by-client",
  "force-majeure", "no-show", "unresolved"];
const FAULTS = ["none", "worker", "client", "shared"];
const FORMATS = ["freelance", "contest", "vendor", "volunteer", "employment", "gig"];

export function sameBytes(a, b) {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return false;
  return true;
}

/** Reads one canonical value from front to back. `what` names it in refusals. */
export class Reader {
  constructor(data, bytesMax, what) {
    if (data.length > bytesMax) {
      throw new Refused(`${what} has ${data.length} bytes, at most ${bytesMax} are allowed`);
    }
    this.data = data;
    this.at = 0;
    this.what = what;
  }

  refuse(why) {
    return new Refused(`${this.what}: ${why}, at byte ${this.at}`);
  }

  /** The next `size` bytes, as a big-endian number. */
  number(size) {
    if (this.at + size > this.data.length) throw this.refuse("ends too early");
    let value = 0;
    for (let end = this.at + size; this.at < end; this.at += 1) value = value * 256 + this.data[this.at];
    return value;
  }

  /** A number that must be too large for the next shorter form. */
  shortest(size, least) {
    const value = this.number(size);
    if (value < least) throw this.refuse("is not in its shortest form");
    return value;
  }

  uint(least = 0, most = UINT_MAX) {
    const head = this.number(1);
    let value = head;
    if (head === 0xcc) value = this.shortest(1, 0x80);
    else if (head === 0xcd) value = this.shortest(2, 0x100);
    else if (head === 0xce) value = this.shortest(4, 0x10000);
    else if (head === 0xcf) value = this.shortest(8, 0x100000000);
    else if (head > 0x7f) throw this.refuse("is not a whole number");
    if (value < least || value > most) throw this.refuse("is out of bounds");
    return value;
  }

  bin(least, most = least) {
    const head = this.number(1);
    let length;
    if (head === 0xc4) length = this.number(1);
    else if (head === 0xc5) length = this.shortest(2, 0x100);
    else if (head === 0xc6) length = this.shortest(4, 0x10000);
    else throw this.refuse("is not bytes");
    if (length < least || length > most) throw this.refuse("has bytes out of bounds");
    return this.take(length);
  }

  take(length) {
    if (this.at + length > this.data.length) throw this.refuse("ends too early");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  /** A short string of ASCII; no string of these shapes has other characters. */
  text(most, pattern = null) {
    const head = this.number(1);
    let length;
    if (head >= 0xa0 && head <= 0xbf) length = head - 0xa0;
    else if (head === 0xd9) length = this.shortest(1, 32);
    else throw this.refuse("is not a short string");
    if (length > most) throw this.refuse("is too long");
    if (this.at + length > this.data.length) throw this.refuse("ends too early");
    let value = "";
    for (let end = this.at + length; this.at < end; this.at += 1) value += String.fromCharCode(this.data[this.at]);
    if (/[^\0-\x7f]/.test(value)) throw this.refuse("is not ASCII");
    if (pattern !== null && !pattern.test(value)) throw this.refuse("is not a code");
    return value;
  }

  code() {
    return this.text(CODE_CHARS_MAX, CODE);
  }

  oneOf(names) {
    const value = this.text(CODE_CHARS_MAX);
    if (!names.includes(value)) throw this.refuse(`is none of ${names.join(", ")}`);
    return value;
  }

  /** An array's header; the number of its items. */
  count(least, most) {
    const head = this.number(1);
    let count;
    if (head >= 0x90 && head <= 0x9f) count = head - 0x90;
    else if (head === 0xdc) count = this.shortest(2, 16);
    else if (head === 0xdd) count = this.shortest(4, 0x10000);
    else throw this.refuse("is not an array");
    if (count < least || count > most) throw this.refuse("has another number of items");
    return count;
  }

  fixed(count) {
    this.count(count, count);
  }

  list(least, most, read) {
    const items = [];
    for (let left = this.count(least, most); left > 0; left -= 1) items.push(read());
    return items;
  }

  orNil(read) {
    if (this.data[this.at] !== 0xc0) return read();
    this.at += 1;
    return null;
  }

  platform() {
    return this.uint(1, U32_MAX);
  }

  end() {
    if (this.at !== this.data.length) throw this.refuse("has bytes left over");
  }
}

/** Reads all of `data` by `read(reader)`. */
export function whole(data, bytesMax, what, read) {
  const reader = new Reader(data, bytesMax, what);
  const value = read(reader);
  reader.end();
  return value;
}

// --- the bundle ---

export function decodeBundle(data) {
  return whole(data, BUNDLE_BYTES_MAX, "bundle", (r) => {
    r.fixed(11);
    if (r.text(CODE_CHARS_MAX) !== "standing-bundle/v1") throw r.refuse("is of another form");
    return {
      chain: r.bin(32),
      question: readQuestion(r),
      answerHash: r.bin(32),
      checkpoint: r.bin(0, NOTE_BYTES_MAX),
      inclusion: r.list(0, INCLUSION_HASHES_MAX, () => r.bin(32)),
      seal: r.bin(0, U32_MAX),
      block: readBlock(r),
      parameters: r.bin(0, PARAMETERS_BYTES_MAX),
      summary: readSummary(r),
      files: r.list(1, FILES_MAX, () => readFile(r)),
    };
  });
}

function readQuestion(r) {
  r.fixed(5);
  return {
    platform: r.platform(),
    handle: r.bin(32),
    role: r.oneOf(ROLES),
    domain: r.text(CODE_CHARS_MAX, /^(?:[a-z0-9]+(?:[.-][a-z0-9]+)*)?$/),
    asOf: r.uint(),
  };
}

/** A block; `bytes` are the ones that its hash covers. */
function readBlock(r) {
  const start = r.at;
  r.fixed(6);
  const block = { epoch: r.uint(), view: r.uint(), height: r.uint(), parent: r.bin(32) };
  r.list(0, U32_MAX, () => {
    r.fixed(3);
    return [r.platform(), r.uint(), r.bin(32)];
  });
  block.time = r.uint();
  block.bytes = r.data.subarray(start, r.at);
  return block;
}

function readSummary(r) {
  r.fixed(2);
  return {
    data: r.orNil(() => r.bin(0, SUMMARY_BYTES_MAX)),
    proof: r.bin(0, MAP_PROOF_BYTES_MAX),
  };
}

function readFile(r) {
  r.fixed(5);
  return {
    platform: r.platform(),
    handle: r.bin(32),
    leaves: r.list(0, LEAVES_MAX + ERASING_LEAVES_MAX, () => readLeaf(r)),
    openings: r.list(0, LEAVES_MAX, () => readOpening(r)),
    proof: r.bin(0, MAP_PROOF_BYTES_MAX),
  };
}

/** A leaf of a file; `bytes` are the ones that the file's head covers. */
function readLeaf(r) {
  const start = r.at;
  r.fixed(6);
  const logIndex = r.uint();
  const time = r.uint();
  const type = r.uint();
  const commitment = r.bin(32);
  const target = r.orNil(() => r.uint());
  const annotationHash = r.bin(32);
  return { logIndex, time, type, commitment, target, annotationHash, bytes: r.data.subarray(start, r.at) };
}

function readOpening(r) {
  r.fixed(4);
  return {
    salt: r.bin(16),
    record: r.bin(0, RECORD_BYTES_MAX),
    signatures: r.bin(0, 64 * 4),
    annotation: r.bin(0, ANNOTATION_BYTES_MAX),
  };
}

// --- what the bundle holds as bytes ---

/** The seal of a log entry: 0x01, then the seal. */
export function decodeSeal(entry) {
  if (entry[0] !== 1) throw new Refused("entry: is not a seal: its kind byte is not 1");
  return whole(entry.subarray(1), SEAL_BYTES_MAX - 1, "seal", (r) => {
    r.fixed(8);
    return {
      height: r.uint(),
      block: r.bin(32),
      previous: r.bin(32),
      time: r.uint(),
      indexRoot: r.bin(32),
      refusals: r.bin(32),
      parameters: r.bin(32),
      validators: r.orNil(() => r.list(0, U32_MAX, () => readValidator(r))),
    };
  });
}

function readValidator(r) {
  r.fixed(8);
  const number = r.uint(1, MEMBER_MAX);
  const code = r.text(32, PLATFORM_CODE);
  const keys = Array.from({ length: 5 }, () => r.bin(32));
  return { number, code, keys, certificate: r.bin(1, 2_048) };
}

export const decodeTally = (data) => whole(data, SUMMARY_BYTES_MAX, "platform summary", readTally);

export function decodeAnnotation(data) {
  return whole(data, ANNOTATION_BYTES_MAX, "annotation", (r) => {
    r.fixed(3);
    return { pairCount: r.uint(1, 2 ** 32), standing: r.uint(0, Q16_ONE), retrospective: r.uint(0, 1) };
  });
}

export function decodeQuestion(data) {
  return whole(data, 1_024, "question", readQuestion);
}

// --- records ---

export const REGISTER = 1;
export const LINK = 4;
export const OPEN = 10;
export const OUTCOME = 11;
export const RATING = 12;
export const ERASURE = 30; // the score reads neither this nor the next
export const ERASURE_ACK = 31;

const RECORDS = {
  [REGISTER]: [6, (r) => ({
    handle: r.bin(32), key: r.bin(0, 32),
    assurance: r.oneOf(["none", "contact", "document", "in-person"]) })],
  [LINK]: [9, (r) => ({ first: readEnd(r), second: readEnd(r) })],
  [OPEN]: [12, (r) => ({
    reference: r.bin(32), worker: r.bin(32), client: r.bin(32), format: r.oneOf(FORMATS),
    domains: r.list(1, 4, () => r.code()), role: r.oneOf(["lead", "learner", "mentor", "crew"]),
    dueFrom: r.uint(), dueUntil: r.uint(), valueBand: r.uint(0, 9) })],
  [OUTCOME]: [9, (r) => ({
    reference: r.bin(32), status: r.oneOf(STATUSES), fault: r.oneOf(FAULTS), latenessBand: r.uint(0, 5),
    acceptance: r.oneOf(["accepted", "partial", "rejected", "unknown"]),
    basis: r.oneOf(["platform", "counterparty"]) })],
  [RATING]: [10, (r) => ({
    reference: r.bin(32), direction: r.oneOf(["of-worker", "of-client"]), rater: r.bin(32),
    raterKey: r.bin(0, 32), scale: r.code(), value: r.uint(0, 255),
    dimensions: r.list(0, 8, () => {
      r.fixed(2);
      return [r.code(), r.uint(0, 255)];
    }),
  })],
  [ERASURE]: [6, (r) => ({ handle: r.bin(32), key: r.bin(32), scope: r.oneOf(["platform", "whole"]) })],
  [ERASURE_ACK]: [4, (r) => ({ erasure: r.bin(32) })],
  ...governance(readValidator),
};

function readEnd(r) {
  return { platform: r.platform(), handle: r.bin(32), key: r.bin(32) };
}

/** A record: its type, platform, date, and the fields of its type. */
export function decodeRecord(data) {
  return whole(data, RECORD_BYTES_MAX, "record", (r) => {
    const count = r.count(3, 12);
    const type = r.uint();
    const [length, read] = RECORDS[type] ?? [0, null];
    if (length !== count) throw r.refuse("is of no type of that many fields");
    return { type, platform: r.platform(), at: r.uint(), ...read(r) };
  });
}

// --- an answer's bytes ---

/** A number, text, bytes, truth, null or array of these in canonical MessagePack, as a list of bytes. */
function packed(value) {
  if (value === null) return [0xc0];
  if (typeof value === "boolean") return [value ? 0xc3 : 0xc2];
  if (typeof value === "number") return value < 0 ? packedNegative(value) : packedUint(value);
  if (typeof value === "string") {
    const bytes = Array.from(value, (c) => c.charCodeAt(0)); // ASCII, at most 48
    return [...(bytes.length < 32 ? [0xa0 + bytes.length] : [0xd9, bytes.length]), ...bytes];
  }
  if (value instanceof Uint8Array) return [0xc4, value.length, ...value]; // at most 255
  return [...(value.length < 16 ? [0x90 + value.length] : [0xdc, 0, value.length]), ...value.flatMap(packed)];
}

const bigEndian = (value, size) =>
  Array.from({ length: size }, (_, at) => Math.floor(value / 256 ** (size - 1 - at)) % 256);

function packedUint(value) {
  if (value < 0x80) return [value];
  const [head, size] = value < 0x100 ? [0xcc, 1] : value < 0x10000 ? [0xcd, 2]
    : value < 0x100000000 ? [0xce, 4] : [0xcf, 8];
  return [head, ...bigEndian(value, size)];
}

/** Points are above −2^15. */
function packedNegative(value) {
  if (value >= -32) return [256 + value];
  return value >= -128 ? [0xd0, 256 + value] : [0xd1, ...bigEndian(65_536 + value, 2)];
}

export function encodeAnswer({ question: q, ...answer }) {
  return Uint8Array.from(packed([
    [q.platform, q.handle, q.role, q.domain, q.asOf], answer.model, answer.probability, answer.points,
    answer.low, answer.high, answer.thin, answer.basePoints,
    answer.reasons.map((each) => [each.code, each.points]), Object.values(answer.evidence), answer.lastAt,
    answer.transfers.map(Object.values),
  ]));
}
