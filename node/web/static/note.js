// Signed notes, the policy that says whose signatures count, and checkpoints by the strict rule of
// bundles: ledger/README.md (C2SP signed-note, tlog-policy, tlog-checkpoint, cosignature/v1).

import { Refused, sameBytes } from "./codec.js";
import { ascii, decodeBase64, hex, isValidPublicKey, sha256, verifySignature } from "./proof.js";

const NOTE_BYTES_MAX = 1_000_000;
const LINES_MAX = 100;
const NAME_BYTES_MAX = 255;
const POLICY_CHARS_MAX = 1_000_000;
const KEYS_MAX = 1_000;
const SIZE_MAX = 2n ** 63n - 1n;
const ED25519 = 1;
const COSIGNATURE_V1 = 4;

// Unicode's white space and the separators 0x1c–0x1f: what no key's name holds, and what parts words.
const SPACES = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const STRICT_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const charCount = (text) => (text.length > 510 ? [...text].length : text.length);

function utf8(bytes, what) {
  try {
    return STRICT_UTF8.decode(bytes);
  } catch {
    throw new Refused(`${what} is not UTF-8`);
  }
}

function checkKeyName(name) {
  const size = ascii(name).length;
  if (size < 1 || size > NAME_BYTES_MAX) throw new Refused(`a key name has 1 to ${NAME_BYTES_MAX} bytes`);
  if (SPACES.test(name) || /[+\0-\x1f]/.test(name) || LONE_SURROGATE.test(name)) {
    throw new Refused(`${name} is not a key name: no space, control character or '+'`);
  }
}

/** A whole number below 2^63 in decimal, as a BigInt. */
function decimal(text, what) {
  if (!DECIMAL.test(text) || BigInt(text) > SIZE_MAX) {
    throw new Refused(`${what} is not a decimal number without leading zeros`);
  }
  return BigInt(text);
}

// --- keys and the policy ---

function parseVkey(vkey) {
  const [name, claimed, ...rest] = vkey.split("+");
  if (charCount(vkey) > 2 * NAME_BYTES_MAX || rest.length < 1) throw new Refused("a vkey is <name>+<key id>+<key>");
  checkKeyName(name);
  const data = decodeBase64(rest.join("+"), "the key of a vkey");
  if (data.length !== 33 || (data[0] !== ED25519 && data[0] !== COSIGNATURE_V1)) {
    throw new Refused("the key of a vkey is algorithm 1 or 4 and 32 bytes");
  }
  const keyId = hex(sha256(ascii(name), 0x0a, data).subarray(0, 4));
  if (claimed !== keyId) throw new Refused(`the key id of the vkey of ${name} is not its key's`);
  const publicKey = data.subarray(1);
  if (!isValidPublicKey(publicKey)) throw new Refused(`the key of ${name} is not a valid point`);
  return { name, algorithm: data[0], publicKey, mark: `${name} ${keyId}` };
}

/**
 * The policy of a tlog-policy file: `{origin, logKeys, witnesses, quorum}`, witnesses in the order
 * that bundles keep. Throws `Refused`.
 */
export function parsePolicy(text) {
  if (text.length > POLICY_CHARS_MAX && [...text].length > POLICY_CHARS_MAX) {
    throw new Refused(`a policy has at most ${POLICY_CHARS_MAX} characters`);
  }
  const read = { logKeys: [], witnesses: new Map(), groups: new Map(), quorum: null };
  text.split("\n").forEach((line, at) => {
    const words = line.split(SPACES).filter((word) => word !== "");
    if (words.length > 0 && !words[0].startsWith("#")) readLine(read, words, `line ${at + 1} of the policy`);
  });
  if (read.logKeys.length === 0 || read.quorum === null) throw new Refused("a policy has a log and a quorum");
  const [quorum, members] = read.quorum;
  const witnesses = members.map((name) => read.witnesses.get(name));
  return checkPolicy({ origin: read.logKeys[0].name, logKeys: read.logKeys, witnesses, quorum });
}

function readLine(read, words, where) {
  const [kind, name, ...rest] = words;
  if (read.logKeys.length + read.witnesses.size === KEYS_MAX && (kind === "log" || kind === "witness")) {
    throw new Refused(`a policy has at most ${KEYS_MAX} keys`);
  }
  if (kind === "log" && (words.length === 2 || words.length === 3)) {
    read.logKeys.push(parseVkey(name));
  } else if (kind === "witness" && (words.length === 3 || words.length === 4)) {
    declare(read, name, where);
    read.witnesses.set(name, parseVkey(rest[0]));
  } else if (kind === "group" && words.length >= 4) {
    declare(read, name, where);
    read.groups.set(name, readGroup(read, rest, where));
  } else if (kind === "quorum" && words.length === 2 && read.quorum === null) {
    read.quorum = readQuorum(read, name, where);
  } else {
    throw new Refused(`${where} is no line of a policy`);
  }
}

function declare(read, name, where) {
  if (name === "none" || read.witnesses.has(name) || read.groups.has(name)) {
    throw new Refused(`${where} declares the name ${name} again`);
  }
}

function readGroup(read, [threshold, ...members], where) {
  if (new Set(members).size !== members.length || !members.every((name) => read.witnesses.has(name))) {
    throw new Refused(`${where} has a member that is no witness or stands twice`);
  }
  const named = { all: members.length, any: 1 };
  const needed = Object.hasOwn(named, threshold) ? named[threshold] : Number(decimal(threshold, where));
  if (needed < 1 || needed > members.length) {
    throw new Refused(`${where} asks for ${threshold} of ${members.length}`);
  }
  return [needed, members];
}

function readQuorum(read, name, where) {
  if (name === "none") return [0, [...read.witnesses.keys()]];
  if (read.witnesses.has(name)) return [1, [name]];
  if (!read.groups.has(name)) throw new Refused(`${where} names a quorum that is not declared`);
  return read.groups.get(name);
}

function checkOrigin(origin) {
  checkKeyName(origin);
  if (origin.includes("://")) throw new Refused("an origin is a URL without its scheme");
}

function checkPolicy(policy) {
  const { origin, logKeys, witnesses, quorum } = policy;
  checkOrigin(origin);
  if (logKeys.some((key) => key.name !== origin || key.algorithm !== ED25519)) {
    throw new Refused("a policy has log keys, all of the origin's name and algorithm 1");
  }
  if (witnesses.some((key) => key.algorithm !== COSIGNATURE_V1)) {
    throw new Refused("a witness of a policy has a key of algorithm 4");
  }
  const keys = [...logKeys, ...witnesses];
  if (new Set(keys.map((key) => hex(key.publicKey))).size !== keys.length) {
    throw new Refused("no public key stands twice in a policy");
  }
  if (quorum > Math.min(witnesses.length, LINES_MAX - 1)) {
    throw new Refused(`a quorum of ${quorum} of ${witnesses.length} cannot be reached`);
  }
  return policy;
}

// --- notes and checkpoints ---

function parseNote(data) {
  if (data.length > NOTE_BYTES_MAX) throw new Refused(`a note has at most ${NOTE_BYTES_MAX} bytes`);
  if (data[data.length - 1] !== 0x0a) throw new Refused("a note's text ends with a newline");
  if (data.some((byte) => byte < 0x20 && byte !== 0x0a)) throw new Refused("a note has no control characters");
  utf8(data, "a note");
  let at = data.length - 2;
  while (at >= 0 && !(data[at] === 0x0a && data[at + 1] === 0x0a)) at -= 1;
  if (at < 0 || at + 2 === data.length) throw new Refused("a note is a text, an empty line and signature lines");
  const lines = utf8(data.subarray(at + 2, -1), "a note").split("\n");
  if (lines.length > LINES_MAX) throw new Refused(`a note has at most ${LINES_MAX} signature lines`);
  return { text: data.subarray(0, at + 1), lines: lines.map(parseLine) };
}

function parseLine(line) {
  const parts = /^— ([^ ]*) (.*)$/s.exec(line);
  if (parts === null) throw new Refused("a signature line is an em dash, a name and base64");
  checkKeyName(parts[1]);
  const data = decodeBase64(parts[2], `the signature of ${parts[1]}`);
  if (data.length <= 4) throw new Refused(`the signature of ${parts[1]} is empty`);
  return { mark: `${parts[1]} ${hex(data.subarray(0, 4))}`, name: parts[1], signature: data.subarray(4) };
}

function parseCheckpoint(text) {
  const lines = utf8(text, "a checkpoint").split("\n");
  if (lines.length !== 4 || lines[3] !== "") {
    throw new Refused("a checkpoint is origin, size and root, each ended by a newline");
  }
  checkOrigin(lines[0]);
  const size = decimal(lines[1], "the size of a checkpoint");
  const root = decodeBase64(lines[2], "the root of a checkpoint");
  if (root.length !== 32) throw new Refused("the root of a checkpoint has 32 bytes");
  return { origin: lines[0], size, root };
}

async function holds(key, text, { signature }) {
  if (key.algorithm === ED25519) return verifySignature(key.publicKey, text, signature);
  if (signature.length !== 72) return false;
  const time = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
  if (time > SIZE_MAX) return false;
  const head = ascii(`cosignature/v1\ntime ${time}\n`);
  const message = new Uint8Array(head.length + text.length);
  message.set(head);
  message.set(text, head.length);
  return verifySignature(key.publicKey, message, signature.subarray(8));
}

/**
 * The checkpoint `{origin, size (BigInt), root}` of a note by the strict rule: one log line, then
 * exactly q cosignature lines in the policy's order, all of them valid. Throws `Refused`.
 */
export async function verifyCheckpoint(data, policy) {
  const note = parseNote(data);
  if (note.lines.length !== 1 + policy.quorum) {
    throw new Refused(`the checkpoint has not exactly 1 log line and ${policy.quorum} others`);
  }
  const keys = new Map([...policy.logKeys, ...policy.witnesses].map((key) => [key.mark, key]));
  if (keys.size !== policy.logKeys.length + policy.witnesses.length) {
    throw new Refused("two of the known keys have one name and key id");
  }
  const [first, ...others] = note.lines;
  if (!policy.logKeys.some((key) => key.mark === first.mark)) {
    throw new Refused("the first line of the checkpoint is not of a known log key");
  }
  const places = others.map((line) => policy.witnesses.findIndex((key) => key.mark === line.mark));
  if (places.some((place, at) => place < 0 || (at > 0 && places[at - 1] >= place))) {
    throw new Refused("the cosignatures are not of distinct validators in the policy's order");
  }
  const verdicts = await Promise.all(note.lines.map((line) => holds(keys.get(line.mark), note.text, line)));
  const failed = verdicts.indexOf(false);
  if (failed >= 0) throw new Refused(`the signature of ${note.lines[failed].name} does not hold`);
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.origin !== policy.origin) {
    throw new Refused(`the checkpoint is of ${checkpoint.origin}, not of ${policy.origin}`);
  }
  return checkpoint;
}
