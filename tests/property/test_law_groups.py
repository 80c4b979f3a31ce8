"""Groups of which a field is seen for the first time at a member (laws 9 and 14)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from law.small import QUICK, WHOLE, flow, told
from law.worlds import RUN, TICK, fold

from syncd.core.model import (
    Agreed,
    Base,
    CaseKind,
    Entity,
    Link,
    OpKind,
    Origin,
    Read,
    ReadStatus,
    Record,
    Value,
)
from syncd.core.plan import plan_entity
from syncd.core.rules import FieldRules, Mode, Policy

BOTH = frozenset({"sum", "unit"})
UNITS = st.sampled_from((None, "", "eur", "EUR ", "usd"))


@QUICK
@given(st.sampled_from(("5", "6")), UNITS, st.sampled_from((None, "a", "b")), st.sampled_from("bc"))
def test_s66_a_first_seen_field_does_not_ride_on_an_edit(
    amount: str, unit: Value, first: str | None, giver: str
) -> None:
    """Laws 9 and 14, S66: b's unit was never read before, or maps its column newly. An edit of b's
    sum carries the agreed unit; what b has there is filled, equal, or a question of `first`."""
    policies = () if first is None else (Policy("prefer", (first,)),)
    fields = {n: FieldRules(n, fold, first=policies) for n in sorted(BOTH)}
    rules = flow(dict.fromkeys("abc", Mode.BOTH))
    members = {m: replace(r, reads=BOTH, writes=BOTH) for m, r in rules.members.items()}
    rules = replace(
        rules, fields=fields, members=members, groups=(("sum", "unit"),), match=(("sum",),)
    )
    bases = {"sum": Base("5", 2), "unit": Base("eur", 2)}
    links = {m: Link(m, f"{m}1", bases=bases, moved_tick=10) for m in "ac"}
    links["b"] = Link("b", "b1", bases={"sum": Base("5", 2)}, moved_tick=10)
    origin = Origin("a" if giver == "b" else giver, 1, "edited")
    agreed = {"sum": Agreed("5", 2, origin), "unit": Agreed("eur", 2, origin)}
    entity = Entity(1, agreed=agreed, links=links)
    record = Record("b1", {"sum": amount, "unit": unit})
    reads = {"a": WHOLE, "b": Read(ReadStatus.SEEN, record, 50, True), "c": WHOLE}
    plan = plan_entity(rules, entity, reads, (), RUN, TICK)
    text = told(rules, entity, reads, plan)
    after = {n: a.value for n, a in plan.entity.agreed.items()}
    sent = {op.member: dict(op.fields) for op in plan.operations if op.kind is OpKind.UPDATE}
    filled = unit in (None, "")
    asked = not filled and fold(unit) != "eur" and first is None
    if asked:
        assert [c.kind for c in plan.cases] == [CaseKind.FIRST] and not sent, text
        shown = {c.source: dict(c.values or {}) for c in plan.cases[0].candidates}
        assert shown["b"] == {"sum": amount, "unit": unit}, text
        assert after == {"sum": "5", "unit": "eur"}, text
        assert "unit" not in plan.entity.links["b"].bases, text
        return
    assert not plan.cases, text
    taken = first == "b" and not filled and fold(unit) != "eur"
    assert fold(after["unit"]) == (fold(unit) if taken else "eur"), text
    assert after["sum"] == amount, text
    for member in "ac":
        moved = {"sum": amount} if amount != "5" else {}
        moved |= {"unit": unit} if taken else {}
        got = sent.get(member, {})
        assert {n: fold(v) for n, v in got.items() if fold(v) != fold(agreed[n].value)} == {
            n: fold(v) for n, v in moved.items()
        }, text
    expected = {} if taken or fold(unit) == "eur" else {"unit": "eur"}
    assert {n: fold(v) for n, v in sent.get("b", {}).items()} == expected, text
