"""What people do in a life: users at any moment, operators between rounds; and which runs are about
one record only, or run a plan that was saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncd.simulate.clock import Chance
from syncd.simulate.script import Event, Round

CROWD = 4  # people beside the two to five of any life


def parts(
    chance: Chance, rounds: Sequence[Round], names: Sequence[str], people: int
) -> tuple[Round, ...]:
    """Some of them are about one record, as after a webhook, or run a plan that was saved."""
    found = []
    for one in rounds:
        what, member, person = chance.random(), chance.choice(names), chance.randrange(people)
        if what < 0.12:
            one = replace(one, mode="entity", member=member, person=person)
        elif what < 0.16:
            one = replace(one, mode="saved")
        found.append(one)
    return tuple(found)


HOWS = ("new",) * 12 + ("blank", "back", "same", "same", "spelling")
ODD_HOWS = (*HOWS, "accent", "word", "long", "odd", "respelled")
_WORK = ("decide", "decide", "decide", "approve", "discard", "retry")


def events(
    chance: Chance,
    names: Sequence[str],
    rounds: int,
    fields: Sequence[str],
    more: Chance,
    hows: Sequence[str],
) -> tuple[Event, ...]:
    """more: of the chances to do something that make a life as full as a real one; hows: of its
    edits."""
    people = chance.randrange(2, 6)
    found = _entered(chance, names, range(people))
    for number in range(rounds):
        for _ in range(chance.randrange(2, 7)):
            found.append(_deed(chance, number, names, people, fields, HOWS))
        if number and chance.random() < 0.25:
            found.append(Event(number, 0, chance.choice(_WORK), "", chance.randrange(12)))
    found += _entered(more, names, range(people, people + CROWD))
    for number in range(rounds):
        for _ in range(more.randrange(4, 11)):
            found.append(_deed(more, number, names, people + CROWD, fields, hows))
        if number and more.random() < 0.2:
            kind, how = more.choice(_WORK), more.choice(("", "revert"))
            found.append(Event(number, 0, kind, "", more.randrange(12), how=how))
    found.sort(key=lambda e: (e.round, e.step))
    return tuple(found)


def merges(chance: Chance, names: Sequence[str], rounds: int) -> list[Event]:
    """Users of few lives find that two records of theirs are one."""
    if chance.random() > 0.2:
        return []
    return [
        Event(number, chance.choice((0, 0, 5, 15)), "merge", chance.choice(names), person)
        for number in range(1, rounds)
        for person in range(5)
        if chance.random() < 0.12
    ]


def _entered(chance: Chance, names: Sequence[str], people: Sequence[int]) -> list[Event]:
    """Records that are there before the first run."""
    return [
        Event(0, 0, "add", name, person)
        for person in people
        for name in names
        if chance.random() < 0.6
    ]


def _deed(
    chance: Chance,
    number: int,
    names: Sequence[str],
    people: int,
    fields: Sequence[str],
    hows: Sequence[str],
) -> Event:
    step = 0 if chance.random() < 0.6 else chance.randrange(1, 30)
    member, person = chance.choice(names), chance.randrange(people + 1)
    what = chance.random()
    if what < 0.72:
        name = chance.choice(fields[1:] if chance.random() < 0.93 else fields[:1])
        how = chance.choice(hows)
        if name == "email" and how in ("blank", "same"):
            how = "spelling"
        return Event(number, step, "edit", member, person, name, how)
    if what < 0.82:
        return Event(number, step, "delete", member, person)
    return Event(number, step, "add" if what < 0.94 else "restore", member, person)
