"""A script: everything that happens in one simulated life of a flow, as plain data.

It is made from a seed, or kept as a file once it has found something. Playing it is
deterministic, so is every part left out: a shrinker may drop events, faults, records and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Traits:
    """How one simulated system behaves.

    text_keys   native ids are texts, else numbers; the system makes them on insert
    versions    each change moves a version, and a write may demand one
    modified    it says when a record was last edited
    created     it marks incarnations of a record
    consistent  a listing is one moment; else pages of `page` records shift while users edit
    soft        deleting marks a record as deleted, the row stays
    lag         seconds for which reads may miss a change, 0 = none
    proof       what settles a lost answer: "unique" | "receipts" | "transaction" | ""
    answers     a write answers with the record as it stands afterwards
    batch       operations in one write
    unique      columns of which no two live records share a value
    shapes      by column what it makes of a value: "trim", "lower", "cut", "round"
    robot       an automation stamps a column of its own after each write
    reuse       a deleted record's id is given to the next one
    cursor      records are listed by their last change too
    late        seconds by which the time of a change lies before anybody can see it
    """

    text_keys: bool = False
    versions: bool = True
    modified: bool = True
    created: bool = False
    consistent: bool = True
    page: int = 3
    soft: bool = False
    lag: float = 0.0
    proof: str = "unique"
    answers: bool = True
    batch: int = 50
    unique: tuple[str, ...] = ()
    shapes: Mapping[str, str] = field(default_factory=dict)
    robot: bool = False
    reuse: bool = False
    cursor: bool = False
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """What a person does, in round `round` once its systems were called `step` times.

    kind    add | edit | delete | restore | merge (users, at a member) |
            decide | approve | discard | retry (operators, between rounds: step is 0)
    person  whom it is about, by number; operators: which of the open ones
    how     edit: new | back | blank | same | spelling | accent | word | long | odd | respelled;
            discard: "revert" = the changes behind it are taken back; others: a choice
    """

    round: int
    step: int
    kind: str
    member: str = ""
    person: int = 0
    name: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, in round `round`, at the first call it fits from step `step` on.

    kind    see `syncd.simulate.faults`
    member  "" = wherever it fits first
    many    how many calls or records it lasts, where that means something
    """

    round: int
    step: int
    kind: str
    member: str = ""
    many: int = 1


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the engine and the virtual seconds before it.

    mode    full | incremental | dry | entity (of one record) | saved (a dry run, then its plan)
    member, person  of an entity run: whose record, and where
    """

    mode: str = "full"
    wait: float = 60.0
    member: str = ""
    person: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """From this round on the config is another one: the flow's table with these parts replaced."""

    round: int
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Script:
    """seed   of the schedule, and of everything the script leaves open
    flow   the flow's table, as in a config file
    settle mode of the runs after the last round, in which all must come to rest
    name   the flow's name
    objects  by member, what its system says of the object (an `ObjectSchema`, JSON-native); none:
           the one that all simulated systems have
    habits by member and column, what an automation there makes of a value once it is written
    """

    seed: int
    systems: Mapping[str, Traits]
    flow: Mapping[str, Any]
    rounds: tuple[Round, ...]
    events: tuple[Event, ...] = ()
    faults: tuple[Fault, ...] = ()
    changes: tuple[Change, ...] = ()
    settle: str = "full"
    name: str = "people"
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    habits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """JSON-native."""
        return asdict(self)


def load(raw: Mapping[str, Any]) -> Script:
    """The opposite of `Script.dump`."""
    return Script(
        raw["seed"],
        {
            name: replace(Traits(**t), unique=tuple(t["unique"]))
            for name, t in raw["systems"].items()
        },
        raw["flow"],
        tuple(Round(**r) for r in raw["rounds"]),
        tuple(Event(**e) for e in raw["events"]),
        tuple(Fault(**f) for f in raw["faults"]),
        tuple(Change(**c) for c in raw["changes"]),
        raw.get("settle", "full"),
        raw.get("name", "people"),
        raw.get("objects", {}),
        raw.get("habits", {}),
    )
