"""What the tests of the store's contents share: a store's tables on both databases, and arbitrary
entities as values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine

from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Entity,
    EntityState,
    Link,
    LinkState,
    Origin,
)
from syncd.store import connect, shadow
from syncd.store.direct import Direct
from syncd.store.tables import metadata

MEMBERS = ("crm", "erp", "shop")
AT = "2026-01-31T08:00:00.000000Z"
LATER = "2026-02-01T08:00:00.000000Z"


def engine(url: str) -> Engine:
    place = connect.locate(url, Path())
    # The driver's own transactions would not roll back as one; those of our connections do.
    made = create_engine(url) if place.path is None else connect.writer(place, 5.0)
    metadata.create_all(made)
    return made


@contextmanager
def scratch(made: Engine) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    with Direct(made) if made.dialect.name == "sqlite" else made.connect() as conn:
        yield conn
        conn.rollback()


def flow(conn: Connection, name: str = "customers") -> int:
    number = shadow.flow_id(conn, name)
    for member in MEMBERS:
        shadow.save_member(conn, number, shadow.MemberState(member))
    return number


def saves(*entities: Entity) -> list[shadow.Save]:
    return [shadow.Save(e) for e in entities]


def agreed(value: object, seq: int = 1, run: int = 1) -> Agreed:
    return Agreed(value, seq, Origin("crm", run, "only change"))


# --- arbitrary values ----------------------------------------------------------------------

texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)
names = st.sampled_from(["email", "name", "credit", "tags", "ü €", ""])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts
# Few different values on purpose: bases shall often equal what is agreed, or nearly (1 and true).
values = st.sampled_from([None, "", 0, 1, True, False, "x", [], ["x"], {}, {"a": 1}, {"a": True}])
values |= scalars | st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
times = st.none() | st.sampled_from([AT, LATER])
origins = st.builds(
    Origin,
    member=st.none() | st.sampled_from(MEMBERS),
    run=st.integers(0, 3),
    rule=st.sampled_from(["", "newest", "prefer:erp"]),
    at=times,
)
agreeds = st.dictionaries(
    names, st.builds(Agreed, value=values, seq=st.integers(1, 3), origin=origins), max_size=4
)
unsettable = st.just(UNSET) | values
explicit = st.builds(
    Base,
    value=values,
    seq=st.integers(0, 3),
    unproven=st.booleans(),
    sent=unsettable,
    seen=unsettable,
)
keys = texts.filter(bool)


@st.composite
def links(draw: st.DrawFn, member: str, what: dict[str, Agreed], *, gone: bool = False) -> Link:
    in_step = {n: Base(a.value, a.seq) for n, a in what.items() if draw(st.integers(0, 9)) > 1}
    bases = in_step | draw(st.dictionaries(names, explicit, max_size=draw(st.integers(0, 2))))
    states = [s for s in LinkState if s is not LinkState.GONE]
    return Link(
        member=member,
        key=draw(keys),
        state=LinkState.GONE if gone else draw(st.sampled_from(states)),
        bases=bases,
        version=draw(st.none() | texts),
        own_time=draw(times),
        edited=draw(times),
        created=draw(st.none() | texts),
        row_hash=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
        moved_tick=draw(st.integers(0, 2**40)),
        fingerprint=draw(st.sampled_from(["", "f1", "f2"])),
    )


@st.composite
def entities(draw: st.DrawFn) -> Entity:
    what = draw(agreeds)
    bound = draw(st.lists(st.sampled_from(MEMBERS), unique=True))
    dead = draw(st.lists(st.sampled_from(MEMBERS), max_size=3))
    return Entity(
        id=0,
        state=draw(st.sampled_from(EntityState)),
        agreed=what,
        links={m: draw(links(m, what)) for m in bound},
        gone=tuple(draw(links(m, what, gone=True)) for m in dead),
    )


def disjoint(many: list[Entity]) -> list[Entity]:
    """The same entities with keys that no two of them share."""
    return [
        replace(e, links={m: replace(k, key=f"{i}{k.key}") for m, k in e.links.items()})
        for i, e in enumerate(many)
    ]
