"""Strategies for histories: who takes part, what happens in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from law import show
from law.tables import Nature, Step
from law.worlds import GROUPS, MEMBERS
from syncd.core.rules import FlowRules

EDITED = ("name", "city", "sum", "unit", "tags")
CHOICES = ("take", "take", "value", "delete", "keep", "unlink")
FATES = ("ok", "ok", "reject", "lost", "silent")


@st.composite
def natures(draw: st.DrawFn, *, plain: bool = False) -> dict[str, Nature]:
    """How each member answers. plain: all of them version, stamp, keep and prove."""
    if plain:
        return {m: Nature() for m in MEMBERS}
    seldom = st.sampled_from((False, False, False, True))
    return {
        m: Nature(
            versioned=draw(st.booleans()),
            timed=draw(st.booleans()),
            short=draw(seldom),
            proves=not draw(seldom),
            lag=100.0 if draw(seldom) else 0.0,
        )
        for m in MEMBERS
    }


@st.composite
def steps(
    draw: st.DrawFn, *, deletes: bool = False, faults: bool = True, persons: bool = False
) -> list[Step]:
    """Up to a dozen events; edits are common, so that they meet."""
    kinds = ["edit", "edit", "run"]
    kinds += ["delete", "delete", "create"] * deletes + ["decide", "decide"] * persons
    return draw(st.lists(st.sampled_from(kinds).flatmap(lambda k: one(k, faults)), max_size=12))


@dataclass(frozen=True, slots=True, repr=False)
class Tale:
    """A whole history: the flow, its members, what happens."""

    rules: FlowRules
    natures: Mapping[str, Nature]
    steps: Sequence[Step]
    begin: str = "abc"

    def __repr__(self) -> str:
        events = "\n".join(f"  {step}" for step in self.steps)
        return f"\n{show.flow(self.rules)}\n{self.natures}\nbegin {self.begin}\n{events}\n"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis asks for this name


def one(kind: str, faults: bool) -> st.SearchStrategy[Step]:
    member = st.sampled_from(MEMBERS)
    if kind == "edit":
        return st.builds(
            Step,
            st.just("edit"),
            member,
            st.sampled_from(EDITED),
            st.sampled_from((False, False, False, False, True)),
        )
    if kind in ("delete", "create"):
        return st.builds(Step, st.just(kind), member)
    if kind == "decide":
        return st.builds(
            Step,
            st.just(kind),
            blank=st.booleans(),
            pick=st.integers(0, 5),
            choice=st.sampled_from(CHOICES),
        )
    if not faults:
        return st.just(Step("run"))
    seldom: st.SearchStrategy[Any] = st.frozensets(member, max_size=2)
    return st.builds(
        Step,
        st.just("run"),
        away=seldom,
        late=seldom,
        bare=st.dictionaries(member, st.sampled_from(GROUPS).map(frozenset), max_size=1),
        fate=st.dictionaries(member, st.sampled_from(FATES), max_size=3),
        race=st.lists(st.tuples(member, st.sampled_from(EDITED)), max_size=2).map(tuple),
        news=st.booleans(),
    )
