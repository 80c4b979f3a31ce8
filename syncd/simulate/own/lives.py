"""A script from a seed, around what is known of a user's flow.

Two kinds of lives: plain ones, in which nothing goes wrong and people only do their work, and hard
ones with faults, odd systems and operators. Promises must hold in both; what a policy does on an
ordinary day is counted in the plain ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from syncd.simulate.clock import Chance, stream
from syncd.simulate.faults import FITS
from syncd.simulate.own.copy import Copy, Known
from syncd.simulate.script import Event, Fault, Round, Script, Traits

PLAIN = 0.5  # of the lives
CROWD = 0.25  # of the plain ones have as many people as percentages need
BUSY = 4  # one of so many records is edited on an ordinary day of theirs
DAY = 90_000.0  # seconds; longer than the window of most guards
_WAITS = (5.0, 60.0, 60.0, 600.0, 3600.0, 90_000.0)
_HOWS = ("new",) * 10 + ("blank", "back", "same", "same", "spelling", "accent", "word", "long")


def is_plain(seed: int) -> bool:
    return stream(seed, "own").random() < PLAIN


def is_crowd(seed: int) -> bool:
    """Plain days of many records, a fifth of which is edited on each."""
    return is_plain(seed) and stream(seed, "crowd").random() < CROWD


def script(copy: Copy, seed: int) -> Script:
    plain = is_plain(seed)
    chance = stream(seed, "world")
    systems = {
        name: _traits(chance, copy.flow["members"][name], known, plain)
        for name, known in copy.members.items()
    }
    crowd = is_crowd(seed)
    many = 3 if crowd else chance.choice((4, 6, 8))
    rounds = tuple(_round(chance, systems, plain) for _ in range(many))
    if crowd:
        rounds = tuple(replace(one, wait=DAY) for one in rounds)
    events = stream(seed, "events")
    return Script(
        seed,
        systems,
        copy.flow,
        rounds,
        _events(events, copy, len(rounds), events.randrange(20, 31) if crowd else 0),
        () if plain else _faults(stream(seed, "faults"), list(systems), len(rounds)),
        name=copy.name,
        objects=copy.objects,
        habits=copy.habits,
    )


def _traits(chance: Chance, member: dict[str, Any], known: Known, plain: bool) -> Traits:
    """What nobody was asked about is drawn; in a hard life also what nobody can be asked."""
    marks = {
        trait: member.get(option) is not None
        for trait, option in (
            ("versions", "version"), ("modified", "modified"), ("created", "created"),
            ("soft", "soft_delete"), ("cursor", "cursor"),
        )
    }  # fmt: skip
    unique = _unique(member, known)
    proof = known.settles
    if proof is None:
        proof = chance.choice(["receipts", "transaction", "unique"] if unique else ["receipts", ""])
    elif proof == "unique" and not unique:
        proof = ""
    elif proof in ("key", "rows"):
        proof = "transaction"
    consistent = known.consistent
    if consistent is None:
        consistent = plain or chance.random() < 0.7
    return Traits(
        text_keys=known.schema.columns[known.schema.key[0]].family == "text",
        consistent=consistent,
        page=50 if plain else chance.choice((2, 3, 50)),
        lag=known.lag,
        proof=proof,
        batch=50 if plain else chance.choice((1, 2, 50)),
        unique=unique,
        shapes={} if plain else _shapes(chance, member, known),
        reuse=not plain and marks["created"] and chance.random() < 0.2,  # else nobody could tell
        **marks,
    )


def _unique(member: dict[str, Any], known: Known) -> tuple[str, ...]:
    """A column by which a record is found again: unique, mapped, alone."""
    for columns in known.schema.unique:
        if len(columns) == 1 and columns[0] in _columns(member):
            return columns
    return ()


def _columns(member: dict[str, Any]) -> list[str]:
    return [column for place in member["fields"].values() for column in natives(place)]


def natives(place: Any) -> Sequence[str]:
    found = place["native"] if isinstance(place, dict) else place
    return [found] if isinstance(found, str) else found


def _shapes(chance: Chance, member: dict[str, Any], known: Known) -> dict[str, str]:
    """Many a system tidies what it is given, and does not say so."""
    texts = [
        natives(place)[0]
        for place in member["fields"].values()
        if len(natives(place)) == 1 and not (isinstance(place, dict) and place.get("table"))
    ]
    texts = [name for name in texts if known.schema.columns[name].family == "text"]
    if not texts or chance.random() < 0.75:
        return {}
    return {chance.choice(texts): "trim"}


def _round(chance: Chance, systems: dict[str, Traits], plain: bool) -> Round:
    cursors = any(traits.cursor for traits in systems.values())
    mode = "incremental" if cursors and chance.random() < 0.4 else "full"
    if not plain and chance.random() < 0.05:
        mode = "dry"
    return Round(mode, chance.choice(_WAITS))


def _events(chance: Chance, copy: Copy, rounds: int, crowd: int) -> tuple[Event, ...]:
    names = list(copy.members)
    people = crowd or chance.randrange(2, 6)
    found: list[Event] = []
    for person in range(people):
        for name in names:
            if chance.random() < (0.9 if crowd else 0.6):
                how = "alike" if crowd or chance.random() < 0.7 else ""
                found.append(Event(0, 0, "add", name, person, how=how))
    for number in range(rounds):
        busy = chance.choice(names)  # where most of a day's work is done
        about = chance.sample(range(people), people // BUSY) if crowd and number else []
        found += [_deed(chance, copy, number, 0, busy, person, work=True) for person in about]
        for _ in range(1 if crowd else chance.randrange(2, 6)):
            step = 0 if chance.random() < 0.7 else chance.randrange(1, 20)
            person = chance.randrange(people + 1)
            found.append(_deed(chance, copy, number, step, chance.choice(names), person))
        if number and chance.random() < 0.4:
            kind = chance.choice(("decide", "decide", "decide", "approve", "discard", "retry"))
            found.append(Event(number, 0, kind, "", chance.randrange(12)))
    found.sort(key=lambda event: (event.round, event.step))
    return tuple(found)


def _deed(
    chance: Chance,
    copy: Copy,
    number: int,
    step: int,
    member: str,
    person: int,
    work: bool = False,
) -> Event:
    """work: an edit, of the plain sort."""
    what = 0.0 if work else chance.random()
    if what < 0.84:
        fields = list(copy.flow["members"][member]["fields"])
        keys = {
            n for rule in copy.flow["match"] for n in ([rule] if isinstance(rule, str) else rule)
        }
        name = chance.choice(fields)
        if name in keys and chance.random() < 0.7:  # what tells people apart changes rarely
            name = chance.choice(fields)
        how = "new" if work else chance.choice(_HOWS)
        if name in keys and how in ("blank", "same"):
            how = "spelling"
        return Event(number, step, "edit", member, person, name, how)
    if what < 0.9:
        return Event(number, step, "delete", member, person)
    if what < 0.97:
        return Event(number, step, "add", member, person)
    return Event(number, step, "restore", member, person)


def _faults(chance: Chance, names: list[str], rounds: int) -> tuple[Fault, ...]:
    kinds = sorted(chance.sample(sorted(FITS), chance.randrange(1, 5)))
    found = []
    for number in range(rounds):
        for _ in range(chance.choice((0, 1, 1, 2))):
            kind = chance.choice(kinds)
            member = chance.choice(("", *names)) if not kind.startswith("store") else ""
            found.append(Fault(number, chance.randrange(24), kind, member, chance.randrange(1, 4)))
    return tuple(sorted(found, key=lambda fault: (fault.round, fault.step)))
