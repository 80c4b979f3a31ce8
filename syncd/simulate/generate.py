"""A script from a seed. Users, systems and faults have streams of chance of their own.

Every third life is a varied one: its flow has fields of all types (`varied`), where the others
have five fields of three types, which the oracle can judge to the last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from syncd.simulate import deeds, varied
from syncd.simulate.clock import Chance, stream
from syncd.simulate.faults import FITS
from syncd.simulate.objects import TYPES
from syncd.simulate.script import Change, Fault, Round, Script, Traits

FIELDS = tuple(TYPES)
OWNED = 0.3
PLAIN = 0.25  # of the lives have no fault at all
ALONE = 0.5  # of the lives nobody minds: whom an operator helped, is judged less closely
VARIED = 3  # every so manyth life


def is_varied(seed: int) -> bool:
    return seed % VARIED == 0


def script(seed: int) -> Script:
    chance = stream(seed, "world")
    names = ["a", "b", "c"][: chance.choice((2, 2, 3))]
    odd = chance.random() < 0.6
    systems = {name: _traits(chance, odd) for name in names}
    rounds = tuple(_round(chance, systems) for _ in range(chance.choice((6, 8, 10))))
    flow, objects, habits = _flow(chance, systems), {}, {}
    spare: Sequence[str] = ("city", "tags")
    types: Sequence[dict[str, Any]] = _TYPES
    if is_varied(seed):
        drawn = varied.varied(stream(seed, "fields"), flow, systems)
        systems, flow = drawn.systems, drawn.flow
        objects, habits = drawn.objects, drawn.habits
        spare, types = varied.spare(flow), varied.types(flow)
    fields = list(flow["fields"])
    flow, changes = _changes(stream(seed, "changes"), flow, len(rounds), spare, types)
    events = deeds.events(
        stream(seed, "events"), names, len(rounds), fields, stream(seed, "more"),
        deeds.ODD_HOWS if is_varied(seed) else deeds.HOWS,
    )  # fmt: skip
    merged = deeds.merges(stream(seed, "merges"), names, len(rounds))
    events = tuple(sorted([*events, *merged], key=lambda e: (e.round, e.step)))
    if stream(seed, "alone").random() < ALONE:
        events = tuple(event for event in events if event.member)
    known = systems.values()
    cursors = any(t.cursor for t in known) and all(t.consistent and not t.lag for t in known)
    return Script(
        seed,
        systems,
        flow,
        deeds.parts(stream(seed, "parts"), rounds, list(flow["members"]), deeds.CROWD),
        events,
        _faults(stream(seed, "faults"), names, len(rounds)),
        changes,
        "incremental" if cursors and chance.random() < 0.3 else "full",
        objects=objects,
        habits=habits,
    )


def _traits(chance: Chance, odd: bool) -> Traits:
    if not odd:
        if chance.random() < 0.5:
            return Traits(unique=("email",))
        return Traits(proof="transaction")
    unique = ("email",) if chance.random() < 0.6 else ()
    proofs = ["receipts", "transaction", "unique"] if unique else ["receipts", "transaction", ""]
    shapes = {}
    if chance.random() < 0.3:
        shapes["city"] = chance.choice(("trim", "lower", "cut"))
    if chance.random() < 0.15:
        shapes["amount"] = "round"
    if chance.random() < 0.2:
        shapes["email"] = chance.choice(("lower", "trim"))
    traits = Traits(
        text_keys=chance.random() < 0.3,
        versions=chance.random() < 0.6,
        modified=chance.random() < 0.6,
        created=chance.random() < 0.3,
        consistent=chance.random() < 0.7,
        page=chance.choice((2, 3, 50)),
        soft=chance.random() < 0.2,
        lag=chance.choice((0.0, 0.0, 0.0, 20.0)),
        proof=chance.choice(proofs),
        answers=chance.random() < 0.8,
        batch=chance.choice((1, 2, 50)),
        unique=unique,
        shapes=shapes,
        robot=chance.random() < 0.3,
        reuse=chance.random() < 0.1,
        cursor=chance.random() < 0.4,
    )
    if not traits.created:
        traits = replace(traits, reuse=False)  # else nobody could tell one from the other
    return replace(traits, late=5.0) if traits.cursor and traits.page == 2 else traits


def _flow(chance: Chance, systems: dict[str, Traits]) -> dict[str, Any]:
    names = list(systems)
    fields: dict[str, Any] = {
        name: dict(said) if isinstance(said, dict) else {"type": said}
        for name, said in TYPES.items()
    }
    if chance.random() < OWNED:
        fields["amount"]["owner"] = names[1 if len(names) > 2 else 0]
    if chance.random() < 0.2:
        fields["city"]["fill"] = True
    if chance.random() < 0.5:
        fields["tags"]["conflict"] = "merge"
    conflict = chance.choice(("review", "newest", f"prefer:{chance.choice(names)}"))
    flow: dict[str, Any] = {
        "match": ["email"],
        "conflict": conflict,
        "first": chance.choice(("review", f"prefer:{chance.choice(names)}", "newest")),
        "deletes": chance.choice(("propagate", "propagate", "propagate", "review", "unlink")),
        "delete_conflict": chance.choice(("edit-wins", "delete-wins", "review")),
        "drift": chance.choice(("revert", "revert", "keep", "review")),
        "guard": _guard(chance),
        "fields": fields,
        "members": {name: _member(chance, traits) for name, traits in systems.items()},
    }
    whence = chance.random()
    if whence < 0.1:
        flow["deletes_from"] = [names[0]]
    elif whence < 0.15:
        flow["deletes_from"] = "all"
    modes = chance.random()
    if modes < 0.12 and len(names) > 2:
        flow["members"][names[-1]]["mode"] = "target"
    elif modes < 0.24:
        flow["members"][names[0]]["mode"] = "source"
    return flow


def _guard(chance: Chance) -> dict[str, Any]:
    off: dict[str, Any] = {"updates": "off", "blankings": "off", "deletes": "off"}
    if chance.random() < 0.3:
        off["deletes"] = chance.choice((1, 2))
    if chance.random() < 0.1:
        off["updates"] = 3
    return off


def _member(chance: Chance, traits: Traits) -> dict[str, Any]:
    member: dict[str, Any] = {"object": "people", "fields": {name: name for name in FIELDS}}
    if traits.versions:
        member["version"] = "rev"
    if traits.modified:
        member["modified"] = "changed"
    if traits.created:
        member["created"] = "born"
    if traits.soft:
        member["soft_delete"] = "gone"
    if traits.cursor:
        member["cursor"] = "changed"
        if not traits.lag and not traits.late:
            member["overlap"] = 0
    return member


def _round(chance: Chance, systems: dict[str, Traits]) -> Round:
    mode = "full"
    if any(t.cursor for t in systems.values()) and chance.random() < 0.4:
        mode = "incremental"
    if chance.random() < 0.05:
        mode = "dry"
    # where copies lag, runs that follow each other closely are what tells whether they are believed
    close = (2.0, 5.0, 12.0) if any(t.lag for t in systems.values()) else (5.0, 60.0, 60.0)
    wait = chance.choice((*close, 600.0, 90_000.0))
    return Round(mode, wait)


def _faults(chance: Chance, names: list[str], rounds: int) -> tuple[Fault, ...]:
    if chance.random() < PLAIN:
        return ()
    kinds = sorted(chance.sample(sorted(FITS), chance.randrange(1, 6)))
    found = []
    for number in range(rounds):
        for _ in range(chance.choice((0, 1, 1, 2))):
            kind = chance.choice(kinds)
            step = chance.randrange(0, 24)
            member = chance.choice(("", *names)) if not kind.startswith("store") else ""
            found.append(Fault(number, step, kind, member, chance.randrange(1, 4)))
    return tuple(sorted(found, key=lambda f: (f.round, f.step)))


_TYPES = ({"fields": {"amount": {"type": "text"}}}, {"fields": {"name": {"type": "text(200)"}}})
_POLICIES = (
    {"conflict": "newest"},
    {"conflict": "review"},
    {"deletes": "propagate"},
    {"deletes": "unlink"},
    {"drift": "revert"},
    {"delete_conflict": "edit-wins"},
)


def _changes(
    chance: Chance,
    flow: dict[str, Any],
    rounds: int,
    spare: Sequence[str],
    types: Sequence[dict[str, Any]],
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """The flow as it begins, and what becomes of its config later. spare: fields that may come
    later; types: patches."""
    if chance.random() < 0.7:
        return flow, ()
    number = chance.randrange(1, rounds)
    kind = chance.choice(("policy", "policy", "type", "field", "joins", "leaves"))
    last = list(flow["members"])[-1]
    if kind in ("joins", "leaves"):  # no policy may name a member that is not there
        flow = {n: "review" if said == f"prefer:{last}" else said for n, said in flow.items()}
    patch: dict[str, Any]
    if kind == "field" and spare:
        name = chance.choice(spare)
        patch = {
            "fields": {name: flow["fields"][name]},
            "members": {
                member: {"fields": {name: said["fields"][name]}}
                for member, said in flow["members"].items()
                if name in said["fields"]
            },
        }
        return _without(flow, name), (Change(number, patch),)
    able = len(flow["members"]) > 2 and varied.does_without(flow, last)
    if kind == "joins" and able:
        patch = {"members": {last: flow["members"][last]}}
        members = {m: said for m, said in flow["members"].items() if m != last}
        return {**flow, "members": members}, (Change(number, patch),)
    if kind == "leaves" and able:
        found = [Change(number, {"members": {last: None}})]
        if chance.random() < 0.5 and number + 2 < rounds:
            found.append(Change(number + 2, {"members": {last: flow["members"][last]}}))
        return flow, tuple(found)
    patch = chance.choice(types if kind == "type" and types else _POLICIES)
    return flow, (Change(number, patch),)


def _without(flow: dict[str, Any], name: str) -> dict[str, Any]:
    members = {
        member: {**said, "fields": {n: c for n, c in said["fields"].items() if n != name}}
        for member, said in flow["members"].items()
    }
    fields = {n: said for n, said in flow["fields"].items() if n != name}
    return {**flow, "fields": fields, "members": members}
