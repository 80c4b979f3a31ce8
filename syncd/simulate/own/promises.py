"""The invariants in a user's words, and which of them lives of one flow can show."""

from __future__ import annotations

from collections.abc import Mapping

PROMISES: Mapping[str, str] = {
    "I1": "once nobody edits any more, all sides become equal",
    "I2": "no edit is lost",
    "I3": "what was deleted stays deleted",
    "I4": "no record is created twice",
    "I5": "only what somebody entered is written",
    "I6": "only what the config grants is written",
    "I7": "each write happens once",
    "I8": "a crash at any moment breaks none of these",
    "I9": "a guard lets nothing over its limit pass",
    "I10": "parents are created before their children",
    "I11": "every write is in the audit, with what it replaced",
    "I12": "a refused record holds up no other",
    "I13": "a fault in one flow changes nothing in another",
    "I14": "nothing is deleted on a guess",
    "I15": "one process at a time runs the flow",
    "I16": "no secret is shown",
    "I17": "writing comes to an end",
    "error": "no run ends in a bug of syncd",
}

UNPLAYED: Mapping[str, str] = {
    "I10": "each flow is played alone",
    "I13": "each flow is played alone",
    "I16": "the copies have no secrets",
}

CRASHES = frozenset(
    {"crash", "crash-write", "crash-answer", "store-begin", "store-commit", "store-after"}
)
