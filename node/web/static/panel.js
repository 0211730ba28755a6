// The Verify panel of a report: fetches the bundle, verifies it by the policy that the reader chooses,
// and shows each step and whether the answer recomputed here is the one that the page shows.

import { Refused, Unsupported, parsePolicy, showTime, verifyBundle } from "./verify.js";
import { ascii, hex, sha256 } from "./proof.js";
import { baseRate, counterfactuals, informationValue } from "./whatif.js";

const WORDS = {
  form: "The bundle has its one form",
  checkpoint: "A quorum of the policy signed the checkpoint",
  seal: "The block's seal is the last entry of that log",
  block: "Chain and epoch are those of the seal",
  parameters: "The score's numbers are those in force",
  files: "The file is whole: nothing is left out, nothing added",
  openings: "Each record is the one that was committed to",
  links: "All linked files are there, and no others",
  summary: "The platform's tally is the ledger's",
  score: "The score, recomputed here, is the one that is proven",
};
const POLICY_BYTES_MAX = 4_000_000;
const PINNED = "standing-policy"; // in this browser's storage: the fingerprint last used, and when

const panel = document.getElementById("verify");
const form = panel.querySelector("form");
const button = form.querySelector("button");
const file = document.getElementById("policy-file");
const pasted = document.getElementById("policy-text");
const list = panel.querySelector("ol");
const verdict = panel.querySelector(".verdict");
const notes = panel.querySelector(".notes");

/** What went wrong, in words for the reader. */
class Problem extends Error {}

function say(parent, tag, text, kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = kind;
  parent.append(element);
  return element;
}

async function load(path, what) {
  const answer = await fetch(path, { cache: "no-store" }).catch(() => null);
  if (answer === null) throw new Problem(`The node does not answer: the ${what} could not be fetched.`);
  if (answer.status === 401) throw new Problem("The session has ended: sign in again.");
  if (!answer.ok) throw new Problem(`The node refused the ${what} (${answer.status}).`);
  return new Uint8Array(await answer.arrayBuffer());
}

function asText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Problem("The policy is not a text file.");
  }
}

/** The policy's text, and whether it came from elsewhere than this node. */
async function choosePolicy() {
  if (form.elements.policy.value === "node") {
    return { text: asText(await load(panel.dataset.policy, "policy")), own: false };
  }
  const [chosen] = file.files;
  if (chosen !== undefined) {
    if (chosen.size > POLICY_BYTES_MAX) throw new Problem("The file is too large to be a policy.");
    return { text: asText(new Uint8Array(await chosen.arrayBuffer())), own: true };
  }
  if (pasted.value.trim() === "") throw new Problem("Choose a policy file, or paste a policy, first.");
  return { text: pasted.value, own: true };
}

function readPolicy(text) {
  try {
    return parsePolicy(text);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new Problem(`The policy cannot be used: ${error.message}.`);
  }
}

/** Whether the answer is to the question of this page, and equal to what the page shows. */
function compare({ question, probability, points, low, high }, under) {
  const { platform, handle, domain, asOf, outlook, ...shown } = panel.dataset;
  const asked = [platform, handle, "worker", domain, asOf];
  const answered = [question.platform, hex(question.handle), question.role, question.domain, question.asOf];
  if (asked.some((each, at) => each !== String(answered[at]))) {
    return "The bundle is valid, but answers another question than this page.";
  }
  const computed = { probability: probability ?? "", points: points ?? "", low, high };
  const same = Object.entries(computed).every(([name, value]) => shown[name] === String(value));
  if (!same) {
    return "The bundle is valid, but proves another answer than this page shows. "
      + "If the ledger has moved on since the page was loaded, load it again.";
  }
  const again = [counterfactuals(under), informationValue(under), [baseRate(under)]]
    .map((part) => part.map(Object.values));
  return outlook === JSON.stringify(again) ? "" : "The bundle is valid and the answer proven, but what this page "
    + "says would change it does not follow.";
}

/** The same policy as last time in this browser, or not: a change should have a reason. */
function pin(text) {
  const fingerprint = hex(sha256(ascii(text)));
  say(notes, "p", `Fingerprint of the policy: ${fingerprint.slice(0, 32).match(/.{4}/g).join(" ")}`);
  let before = null;
  try {
    before = JSON.parse(localStorage.getItem(PINNED));
    localStorage.setItem(PINNED, JSON.stringify({ fingerprint, time: Date.now() }));
  } catch {
    return; // no storage, or not ours: nothing is compared
  }
  if (typeof before?.fingerprint !== "string" || !Number.isSafeInteger(before.time)) return;
  const when = showTime(before.time);
  if (before.fingerprint === fingerprint) say(notes, "p", `The same policy as this browser used on ${when}.`);
  else say(notes, "p", `Another policy than this browser used on ${when}: find out why.`, "bad");
}

function showSteps(steps) {
  for (const { name, ok, detail } of steps) {
    const item = say(list, "li", "");
    const mark = say(item, "span", ok ? "✓" : "✗", ok ? "good" : "bad");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", ok ? "holds" : "fails");
    const words = say(item, "span", WORDS[name]);
    say(words, "span", detail, "soft small");
  }
}

async function verify() {
  const policy = await choosePolicy();
  const known = readPolicy(policy.text);
  const bundle = await load(panel.dataset.bundle, "bundle");
  const start = performance.now();
  const found = await verifyBundle(bundle, known, { nowMs: Date.now() });
  const taken = Math.max(1, Math.round(performance.now() - start));
  showSteps(found.steps);
  if (!found.valid) throw new Problem("The bundle does not hold: do not rely on this page.");
  const difference = compare(found.answer, found.asked);
  if (difference !== "") throw new Problem(difference);
  if (policy.own) {
    say(verdict, "strong", "Verified by your policy: the answer on this page is proven.", "good");
  } else {
    say(verdict, "strong", "Consistent: by this node's own policy, the answer on this page follows.", "good");
    say(notes, "p", "The keys came from the node that is checked: this proves that it does not contradict "
      + "itself, not that its keys are the network's.");
  }
  say(notes, "p", "What would change it, and the base rate, follow from the same proof.");
  const { erased } = found.answer.evidence;
  if (erased > 0) say(notes, "p", `Partly erased: ${erased} records stay closed, as the ledger says they must.`);
  if (found.stale) say(notes, "p", "The answer is more than 30 days old: newer records may exist.", "bad");
  say(notes, "p", `Recomputed in this browser in ${taken} ms, from ${bundle.length} bytes.`);
  pin(policy.text);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const each of [list, verdict, notes]) each.replaceChildren();
  button.disabled = true;
  panel.dataset.state = "busy";
  say(verdict, "span", "Verifying …");
  await new Promise((resume) => { setTimeout(resume, 0); }); // let the browser show it first
  try {
    verdict.replaceChildren();
    await verify();
    panel.dataset.state = "verified";
  } catch (error) {
    panel.dataset.state = "failed";
    if (error instanceof Problem) say(verdict, "strong", error.message, "bad");
    else if (error instanceof Unsupported) {
      say(verdict, "strong", `Nothing was verified: ${error.message}.`, "bad");
      say(notes, "p", "Download bundle and policy below, and run on your own machine:");
      say(notes, "code", `standing verify ${panel.dataset.name} --policy policy`);
    } else {
      say(verdict, "strong", "Nothing was verified: the program that verifies failed.", "bad");
      console.error(error);
    }
  } finally {
    button.disabled = false;
  }
});

for (const field of [file, pasted]) {
  field.addEventListener("input", () => { form.elements.policy.value = "own"; });
}
panel.hidden = false;
