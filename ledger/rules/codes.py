"""The stable codes of the rules that a record can break, and what each one demands.

A code never changes its meaning. It travels in problem documents and, hashed with the record's
salt, in the block's refusal list.
"""

from typing import Final

MALFORMED: Final = "malformed"
BAD_SIGNATURE: Final = "bad-signature"
SIGNATURE_COUNT: Final = "signature-count"
BAD_KEY: Final = "bad-key"
DATED_TOO_EARLY: Final = "dated-too-early"
DATED_AFTER_BATCH: Final = "dated-after-batch"
FOREIGN_PLATFORM: Final = "foreign-platform"
TOO_MANY_FILES: Final = "too-many-files"
SUBJECT_EXISTS: Final = "subject-exists"
UNKNOWN_SUBJECT: Final = "unknown-subject"
SUBJECT_HAS_NO_KEY: Final = "subject-has-no-key"
KEY_NOT_REGISTERED: Final = "key-not-registered"
LINK_ORDER: Final = "link-order"
LINK_EXISTS: Final = "link-exists"
TOO_MANY_LINKS: Final = "too-many-links"
SAME_PARTY: Final = "same-party"
DOMAINS_UNSORTED: Final = "domains-unsorted"
UNKNOWN_DOMAIN: Final = "unknown-domain"
DUE_WINDOW: Final = "due-window"
ENGAGEMENT_EXISTS: Final = "engagement-exists"
UNKNOWN_ENGAGEMENT: Final = "unknown-engagement"
DATED_BEFORE_OPEN: Final = "dated-before-open"
OUTCOME_INCONSISTENT: Final = "outcome-inconsistent"
OUTCOME_EXISTS: Final = "outcome-exists"
NOT_A_PARTY: Final = "not-a-party"
RATING_EXISTS: Final = "rating-exists"
UNKNOWN_SCALE: Final = "unknown-scale"
VALUE_OUT_OF_SCALE: Final = "value-out-of-scale"
DIMENSIONS_UNSORTED: Final = "dimensions-unsorted"
ERASURE_UNDER_WAY: Final = "erasure-under-way"
ERASURE_STALE: Final = "erasure-stale"
DATED_BEFORE_ERASURE: Final = "dated-before-erasure"
UNKNOWN_ERASURE: Final = "unknown-erasure"
ERASURE_NOT_DONE: Final = "erasure-not-done"
ACK_EXISTS: Final = "ack-exists"
NOT_A_MEMBER: Final = "not-a-member"
KEYS_NOT_DISTINCT: Final = "keys-not-distinct"
NO_POSSESSION: Final = "no-possession"
BAD_CERTIFICATE: Final = "bad-certificate"
NAME_TAKEN: Final = "name-taken"
OTHER_IDENTITY: Final = "other-identity"
UNKNOWN_MEMBER: Final = "unknown-member"
REMOVES_ITSELF: Final = "removes-itself"
REMOVAL_EXISTS: Final = "removal-exists"
LEAVING: Final = "leaving"
LAST_MEMBER: Final = "last-member"
TOO_MANY_CHANGES: Final = "too-many-changes"
UNKNOWN_CHANGE: Final = "unknown-change"
CHANGE_CLOSED: Final = "change-closed"
NEEDS_NO_APPROVAL: Final = "needs-no-approval"
APPROVAL_EXISTS: Final = "approval-exists"
NOT_AWAITED: Final = "not-awaited"
WRONG_EPOCH: Final = "wrong-epoch"
UNKNOWN_CHECKPOINT: Final = "unknown-checkpoint"
READY_EXISTS: Final = "ready-exists"
BAD_MODEL: Final = "bad-model"
MODEL_REPLACED: Final = "model-replaced"
MODEL_IN_FORCE: Final = "model-in-force"
MODEL_ID_TAKEN: Final = "model-id-taken"
ACTIVATION_EXISTS: Final = "activation-exists"
EVIDENCE_FORM: Final = "evidence-form"
EVIDENCE_UNPROVEN: Final = "evidence-unproven"
EVIDENCE_EXISTS: Final = "evidence-exists"

RULES: Final = {
    MALFORMED: "the bytes are a record of a known type in canonical form, within the size bound",
    BAD_SIGNATURE: "each signature holds under the key that the record carries for it",
    SIGNATURE_COUNT: "there is one signature for each key that signs the record, and no other",
    BAD_KEY: "a key in a record is a valid Ed25519 point of the main subgroup",
    DATED_TOO_EARLY: "a record is dated 1990 or later",
    DATED_AFTER_BATCH: "a record is not dated after its batch",
    FOREIGN_PLATFORM: "a record without a signature of its own names the platform of its lane",
    TOO_MANY_FILES: "a record touches at most as many files as genesis allows",
    SUBJECT_EXISTS: "a handle is registered once on its platform",
    UNKNOWN_SUBJECT: "a subject that a record names is registered on the platform named",
    SUBJECT_HAS_NO_KEY: "a subject that signs has registered a key",
    KEY_NOT_REGISTERED: "the key in the record is the one that its subject has registered",
    LINK_ORDER: "the first side of a link comes before the second by (platform, handle)",
    LINK_EXISTS: "two subjects are linked only while nothing joins them, directly or by others",
    TOO_MANY_LINKS: "links join at most 16 files, so by at most 15 links",
    SAME_PARTY: "worker and client of an engagement are two subjects",
    DOMAINS_UNSORTED: "domain codes ascend, each once",
    UNKNOWN_DOMAIN: "each domain code is in the parameters in force",
    DUE_WINDOW: "due_from ≤ due_until, at ≤ due_until ≤ at + 5 years of 366 days",
    ENGAGEMENT_EXISTS: "a reference is opened once on its platform",
    UNKNOWN_ENGAGEMENT: "the platform has opened the reference",
    DATED_BEFORE_OPEN: "what is said of an engagement is not dated before its open",
    OUTCOME_INCONSISTENT: "fault, lateness and acceptance fit the status",
    OUTCOME_EXISTS: "an engagement has one live outcome",
    NOT_A_PARTY: "a worker is rated by the engagement's client, a client by its worker",
    RATING_EXISTS: "a party is rated once per engagement",
    UNKNOWN_SCALE: "the scale is in the parameters in force",
    VALUE_OUT_OF_SCALE: "the value and each dimension's value lie on the scale",
    DIMENSIONS_UNSORTED: "dimension codes ascend, each once",
    ERASURE_UNDER_WAY: "no file in the scope of an erasure is still being erased",
    ERASURE_STALE: "an erasure is dated at most 7 days before the time of its batch",
    DATED_BEFORE_ERASURE: "a link or an erasure is dated after each file's last erasure",
    UNKNOWN_ERASURE: "what is acknowledged is an erasure that was accepted before",
    ERASURE_NOT_DONE: "an erasure is acknowledged once nothing of its scope is left to be marked",
    ACK_EXISTS: "a platform acknowledges an erasure once",
    NOT_A_MEMBER: "the platform that asks for a change or approves one is in the set of the epoch",
    KEYS_NOT_DISTINCT: "the five keys and the link key of a validator are six keys",
    NO_POSSESSION: "each key of a validator has signed its proof of possession",
    BAD_CERTIFICATE: "a certificate has its one form, and its own key has signed it",
    NAME_TAKEN: "numbers, codes, keys and certificates of changes are taken by nobody before",
    OTHER_IDENTITY: "a rotation keeps the number and the code",
    UNKNOWN_MEMBER: "who is to be removed is in the set of the epoch",
    REMOVES_ITSELF: "a removal is of another member: who wants to go, leaves",
    REMOVAL_EXISTS: "one open removal of a member: approve that",
    LEAVING: "a change is not about a member whose leaving is open",
    LAST_MEMBER: "the last member of a network does not leave",
    TOO_MANY_CHANGES: "a platform has at most 16 approved changes open",
    UNKNOWN_CHANGE: "what is approved, or awaited, is an accepted change",
    CHANGE_CLOSED: "what is approved, or awaited, has neither bound nor become void",
    NEEDS_NO_APPROVAL: "what is approved is not a leaving",
    APPROVAL_EXISTS: "a platform approves a change once; its own it has approved",
    NOT_AWAITED: "who is ready is the platform, with the keys, of a join or rotation",
    WRONG_EPOCH: "who is ready names the current epoch",
    UNKNOWN_CHECKPOINT: "size and root are a checkpoint of the epoch, or its first",
    READY_EXISTS: "a candidate says once per epoch that it is ready",
    BAD_MODEL: "a model's numbers lie in their limits and do not contradict each other",
    MODEL_REPLACED: "who asks for a model names the parameters in force, which it compared it with",
    MODEL_IN_FORCE: "a model that is asked for is another than the one in force",
    MODEL_ID_TAKEN: "an id names one model for ever: no other one of that id was ever in force",
    ACTIVATION_EXISTS: "one open change for a model: approve that",
    EVIDENCE_FORM: "the parts are statements that conflict as the kind says, in order",
    EVIDENCE_UNPROVEN: "one key of the accused, of that epoch's set, signed both parts",
    EVIDENCE_EXISTS: "one piece of evidence per platform, kind, epoch and slot",
}
