// What proves: SHA-256, Ed25519 by the one acceptance rule, signed notes, the policy, Merkle and map
// proofs. Signatures are verified by WebCrypto, behind checks that make every browser's verdict the
// ledger's. SHA-256 is our own: called synchronously it is several times as fast for short inputs as
// WebCrypto, which answers through a promise.

import { Refused, sameBytes } from "./codec.js";

/** The browser (or an insecure connection) has no Ed25519. */
export class Unsupported extends Error {}

const UTF8 = new TextEncoder();

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// --- SHA-256 (FIPS 180-4) ---

const K = Int32Array.from(("428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98"
  + " 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc"
  + " 2de92c6f 4a7484aa 5cb0a9dc 76f988da 983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351"
  + " 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85 a2bfe8a1 a81a664b"
  + " c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3"
  + " 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2")
  .split(" "), (word) => Number.parseInt(word, 16));
const H = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const state = new Int32Array(8);
const words = new Int32Array(64);
let scratch = new Uint8Array(8_192);

/** The next block of 64 bytes of the scratch into the state. */
function compress(at) {
  const w = words;
  for (let i = 0, p = at; i < 16; i += 1, p += 4) {
    w[i] = (scratch[p] << 24) | (scratch[p + 1] << 16) | (scratch[p + 2] << 8) | scratch[p + 3];
  }
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3]; // not [a, …] = state: that is slow here
  let e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + (g ^ (e & (f ^ g))) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) | (c & (a | b)))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0;
    d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d;
  state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

/** SHA-256 of the first `length` bytes of the scratch, into 32 bytes of `out` from `at` on. */
function digestScratch(length, out, at) {
  const end = (length + 72) & ~63; // the 1 bit, zeros, and the length in bits, up to a whole block
  scratch.fill(0, length, end);
  scratch[length] = 0x80;
  for (let i = 0, bits = length * 8; i < 6; i += 1, bits = Math.floor(bits / 256)) scratch[end - 1 - i] = bits;
  state.set(H);
  for (let p = 0; p < end; p += 64) compress(p);
  for (let i = 0; i < 32; i += 1) out[at + i] = state[i >> 2] >>> (24 - 8 * (i & 3));
}

/** SHA-256 of the parts laid end to end; a part is bytes, or a small number for one byte. */
export function sha256(...parts) {
  let length = 0;
  for (const part of parts) {
    const size = typeof part === "number" ? 1 : part.length;
    if (length + size + 72 > scratch.length) {
      const larger = new Uint8Array(2 * (length + size) + 128);
      larger.set(scratch);
      scratch = larger;
    }
    if (typeof part === "number") scratch[length] = part;
    else scratch.set(part, length);
    length += size;
  }
  const out = new Uint8Array(32);
  digestScratch(length, out, 0);
  return out;
}

// --- whole numbers and text as bytes ---

export function u64be(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

export const u32be = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

export const ascii = (text) => UTF8.encode(text);

/** Standard padded base64 in its one form. */
export function decodeBase64(text, what) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    throw new Refused(`${what} is not base64`);
  }
  if (btoa(binary) !== text) throw new Refused(`${what} is not canonical base64`);
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

// --- Ed25519: the one acceptance rule (ledger/signing.py) ---

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (a) => ((a % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (let b = base, e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) result = (result * b) % P;
  return result;
}

const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n);
const Y_OF_ORDER_8 = BigInt("0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7");
const SMALL_ORDER_Y = new Set([0n, 1n, P - 1n, Y_OF_ORDER_8, P - Y_OF_ORDER_8]);

function littleEndian(bytes) {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at -= 1) value = (value << 8n) | BigInt(bytes[at]);
  return value;
}

const yOf = (point) => littleEndian(point) & (2n ** 255n - 1n);

/** Whether it is one of the 14 encodings of points of small order. */
export const isSmallOrder = (point) => SMALL_ORDER_Y.has(yOf(point) % P);

/** The x of a point with this y and sign, or null where there is none. */
function xOf(y, sign) {
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  let x = mod(u * v ** 3n * power(mod(u * v ** 7n), (P - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * ROOT_OF_MINUS_1);
  if (mod(v * x * x) !== u || (x === 0n && sign)) return null;
  return (x & 1n) === BigInt(sign) ? x : P - x;
}

function addPoints([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = ((y1 - x1) * (y2 - x2)) % P;
  const b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (2n * ((t1 * D) % P) * t2) % P;
  const d = (2n * z1 * z2) % P;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

/** A canonical encoding of a point of the main subgroup: what every key of a policy must be. */
export function isValidPublicKey(bytes) {
  const y = yOf(bytes);
  if (bytes.length !== 32 || y >= P || isSmallOrder(bytes)) return false;
  const x = xOf(y, bytes[31] >> 7);
  if (x === null) return false;
  let sum = [0n, 1n, 1n, 0n];
  for (let point = [x, y, 1n, (x * y) % P], e = L; e > 0n; e >>= 1n, point = addPoints(point, point)) {
    if (e & 1n) sum = addPoints(sum, point);
  }
  return mod(sum[0]) === 0n && mod(sum[1] - sum[2]) === 0n;
}

const imported = new WeakMap(); // a key's bytes, as the policy holds them, to WebCrypto's key

async function importKey(publicKey) {
  let key = imported.get(publicKey);
  if (key === undefined) {
    key = await globalThis.crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
    imported.set(publicKey, key);
  }
  return key;
}

/** Whether a signature holds: S < L, A and R canonical and not of small order, then WebCrypto. */
export async function verifySignature(publicKey, message, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const r = signature.subarray(0, 32);
  if (littleEndian(signature.subarray(32)) >= L || yOf(publicKey) >= P || yOf(r) >= P) return false;
  if (isSmallOrder(publicKey) || isSmallOrder(r)) return false;
  try {
    const key = await importKey(publicKey);
    return await globalThis.crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
  } catch (error) {
    if (error.name === "NotSupportedError") throw new Unsupported("this browser has no Ed25519");
    return false; // the key is no point
  }
}

let sound = null; // once it was found right

/** Demand that Ed25519 is there and right, by RFC 8032's second vector. */
export function needEd25519() {
  sound ??= tryEd25519();
  return sound;
}

async function tryEd25519() {
  if (globalThis.crypto?.subtle === undefined) {
    throw new Unsupported("the browser offers its cryptography over https and on this machine only");
  }
  const bytes = (text) => Uint8Array.from(text.match(/../g), (pair) => Number.parseInt(pair, 16));
  const key = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const signature = bytes("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  if (!await verifySignature(key, Uint8Array.of(0x72), signature)
    || await verifySignature(key, Uint8Array.of(0x73), signature)) {
    throw new Unsupported("this browser's Ed25519 is not that of RFC 8032");
  }
}

// --- Merkle trees (RFC 6962), and the map ---

/** The root over the leaves' bytes. */
export function merkleRoot(leaves) {
  if (leaves.length === 0) return sha256();
  const row = new Uint8Array(32 * leaves.length);
  leaves.forEach((bytes, at) => {
    scratch[0] = 0;
    scratch.set(bytes, 1);
    digestScratch(1 + bytes.length, row, 32 * at);
  });
  for (let count = leaves.length; count > 1; count = (count + 1) >> 1) {
    for (let at = 0; at + 1 < count; at += 2) {
      scratch[0] = 1;
      for (let i = 0; i < 64; i += 1) scratch[1 + i] = row[32 * at + i];
      digestScratch(65, row, 16 * at);
    }
    if (count & 1) row.copyWithin(16 * (count - 1), 32 * (count - 1), 32 * count);
  }
  return row.subarray(0, 32);
}

function checkHashes(...hashes) {
  if (hashes.some((each) => each.length !== 32)) throw new Refused("every hash of a proof has 32 bytes");
}

const SIZE_MAX = 2n ** 63n - 1n;

/** Demand that a leaf hash stands at `index` of a tree of `size` leaves (BigInts) with this root. */
export function verifyInclusion(leaf, index, size, proof, root) {
  if (index < 0n || index >= size || size > SIZE_MAX) throw new Refused(`a tree of ${size} leaves has no leaf ${index}`);
  checkHashes(leaf, root, ...proof);
  let [first, last, found] = [index, size - 1n, leaf];
  for (const sibling of proof) {
    if (last === 0n) throw new Refused("the inclusion proof is too long");
    if (first & 1n || first === last) {
      found = sha256(1, sibling, found);
      for (; !(first & 1n) && first; first >>= 1n) last >>= 1n;
    } else {
      found = sha256(1, found, sibling);
    }
    first >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw new Refused("the inclusion proof is too short");
  if (!sameBytes(found, root)) throw new Refused("the inclusion proof leads to another root");
}

const ITEM_BYTES = 33;
const bitOf = (bytes, bit) => (bytes[bit >> 3] >> (7 - (bit & 7))) & 1;

function foldMap(leaf, items, key, also) {
  if (items.length % ITEM_BYTES !== 0 || items.length > 256 * ITEM_BYTES) {
    throw new Refused("a map proof has at most 256 items of 33 bytes");
  }
  let found = leaf;
  for (let at = 0, before = 256; at < items.length; at += ITEM_BYTES) {
    const bit = items[at];
    const sibling = items.subarray(at + 1, at + ITEM_BYTES);
    if (bit >= before) throw new Refused("the bits of a map proof fall from item to item");
    const side = bitOf(key, bit);
    if (side !== bitOf(also, bit)) throw new Refused("the other key of an absence proof stands on another path");
    found = side ? sha256(sibling, found, bit) : sha256(found, sibling, bit);
    before = bit;
  }
  return found;
}

/** Demand that the map holds `value` under `key`. */
export function verifyPresence(root, key, value, proof) {
  checkHashes(root, key, value);
  if (!sameBytes(foldMap(sha256(key, value), proof, key, key), root)) {
    throw new Refused("the presence proof leads to another root");
  }
}

/** Demand that the map holds nothing under `key`. */
export function verifyAbsence(root, key, proof) {
  checkHashes(root, key);
  if (proof.length === 0) {
    if (!sameBytes(root, sha256())) throw new Refused("the empty absence proof holds for the empty map only");
    return;
  }
  if (proof.length < 64) throw new Refused("an absence proof begins with another key and its value");
  const other = proof.subarray(0, 32);
  if (sameBytes(other, key)) throw new Refused("the absence proof shows the key itself");
  if (!sameBytes(foldMap(sha256(proof.subarray(0, 64)), proof.subarray(64), other, key), root)) {
    throw new Refused("the absence proof leads to another root");
  }
}
