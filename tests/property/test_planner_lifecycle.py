"""First sight, aggregation and creations, against their rules written out in full."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from law.small import (
    BOTH,
    MODES,
    ORDERS,
    QUICK,
    UNREAD,
    VALUES,
    WHOLE,
    ask,
    flow,
    linked,
    seen,
    sent,
    told,
)
from law.worlds import MEMBERS, fold

from syncd.core.model import (
    Agreed,
    Base,
    CaseKind,
    Entity,
    Link,
    LinkState,
    OpKind,
    Origin,
    Value,
)
from syncd.core.rules import Mode


@QUICK
@given(
    st.fixed_dictionaries(dict.fromkeys(MEMBERS, MODES)),
    st.lists(VALUES, min_size=3, max_size=3),
    ORDERS,
)
def test_first_sight_of_a_new_component(
    modes: dict[str, Mode], values: list[Value], order: tuple[str, ...] | None
) -> None:
    """Law 9, S7, S8, S66: one authoritative value fills blanks; several are a case."""
    rules = flow(modes, order)
    entity = Entity(0, links={m: linked(m, None) for m in MEMBERS})
    reads = {m: seen(m, v) for m, v in zip(MEMBERS, values, strict=True)}
    plan = ask(rules, entity, reads)
    text = told(rules, entity, reads, plan)
    now = dict(zip(MEMBERS, values, strict=True))
    givers = {fold(now[m]) for m in MEMBERS if modes[m].is_source and now[m] is not None}
    others = {fold(now[m]) for m in MEMBERS if now[m] is not None} - givers
    case = [c for c in plan.cases if c.kind is CaseKind.FIRST]
    agreed = plan.entity.agreed.get("name")
    if agreed is not None and agreed.value is not None:
        assert fold(agreed.value) in givers, f"a mere target's value was agreed{text}"
    for member, value in sent(plan, OpKind.UPDATE).items():
        assert modes[member].is_target and value != now[member], text
    # a blank is filled, of a source that cannot be written too: the policy ranks values (law 13)
    if len(givers) == 1 and not others:
        assert agreed is not None and fold(agreed.value) in givers and not case, text
        blanks = {m for m in MEMBERS if now[m] is None and modes[m].is_target}
        assert set(sent(plan, OpKind.UPDATE)) == blanks, text
        assert not plan.entity.links["a"].bases.get("name", Base(0, 0)).unproven
    chosen = [m for m in order or () if modes[m].is_source and now[m] is not None]
    if len(givers) > 1 and order is None:
        assert agreed is None and len(case) == 1 and not plan.operations, text
        assert all("name" not in link.bases for link in plan.entity.links.values()), text
    if len(givers) > 1 and chosen and chosen[0] == (order or ("",))[0]:
        assert agreed is not None and agreed.value == now[chosen[0]] and not case, text
        for m in MEMBERS:
            writes = m in sent(plan, OpKind.UPDATE)
            assert writes == (modes[m].is_target and fold(now[m]) != fold(agreed.value)), text


@QUICK
@given(VALUES, VALUES, MODES, ORDERS, st.booleans())
def test_first_sight_of_a_late_member(
    agreed: Value, value: Value, mode: Mode, order: tuple[str, ...] | None, bare: bool
) -> None:
    """Law 9, S66: a member that joins changes nothing of the others unasked."""
    rules = flow({**BOTH, "c": mode}, order)
    held = {m: linked(m, Base(agreed, 2)) for m in "ab"}
    entity = Entity(
        1,
        agreed={"name": Agreed(agreed, 2, Origin("b", 1, "edited"))},
        links={**held, "c": linked("c", None)},
    )
    reads = {"a": UNREAD if bare else WHOLE, "b": WHOLE, "c": seen("c", value)}
    plan = ask(rules, entity, reads)
    text = told(rules, entity, reads, plan)
    case = [c for c in plan.cases if c.kind is CaseKind.FIRST]
    after = plan.entity.agreed["name"]
    writes = sent(plan, OpKind.UPDATE)
    if fold(value) == fold(agreed):
        assert (after.seq, after.value, writes, case) == (2, agreed, {}, []), text
        assert plan.entity.links["c"].bases["name"] == Base(value, 2), text
    elif value is None:
        assert after.value == agreed and not case, text
        assert writes == ({"c": agreed} if mode.is_target else {}), text
    elif mode is Mode.TARGET:  # drift, which is reverted here
        assert (after.seq, after.value, writes, case) == (2, agreed, {"c": agreed}, []), text
    elif order == ("a",):  # a holds the agreed value, without being its origin
        assert after.value == agreed and set(writes) <= {"c"}, text
    elif order is None:
        assert (after.seq, after.value, writes) == (2, agreed, {}) and len(case) == 1, text
        assert "name" not in plan.entity.links["c"].bases, text
    elif order[0] == "b":
        assert after.value == agreed and not case, text
        assert writes == ({"c": agreed} if mode.is_target else {}), text
    else:
        assert after.value == value and not case, text
        assert writes == ({"b": value} if bare else {"a": value, "b": value}), text


@QUICK
@given(VALUES, VALUES, VALUES, VALUES, ORDERS, st.booleans())
def test_sources_that_cannot_be_written_are_ranked(
    a_was: Value, a_is: Value, b_was: Value, b_is: Value, order: tuple[str, ...] | None, away: bool
) -> None:
    """Law 13, S68: a and b feed c; when one moves, the values of both are ranked."""
    rules = flow({"a": Mode.SOURCE, "b": Mode.SOURCE, "c": Mode.TARGET}, order)
    winner = "a" if order is None or order[0] in ("a", "c") else "b"
    agreed = a_was if winner == "a" else b_was
    apart = fold(a_was) != fold(b_was)
    seqs = {
        "a": 2 if winner == "a" or not apart else 1,
        "b": 2 if winner == "b" or not apart else 1,
    }
    entity = Entity(
        1,
        agreed={"name": Agreed(agreed, 2, Origin(winner, 1, "edited"))},
        links={
            "a": linked("a", Base(a_was, seqs["a"])),
            "b": linked("b", Base(b_was, seqs["b"])),
            "c": linked("c", Base(agreed, 2)),
        },
    )
    reads = {"a": seen("a", a_is), "b": UNREAD if away else seen("b", b_is), "c": seen("c", agreed)}
    plan = ask(rules, entity, reads)
    text = told(rules, entity, reads, plan)
    b_now = b_was if away else b_is
    after, writes = plan.entity.agreed["name"], sent(plan, OpKind.UPDATE)
    if fold(a_is) == fold(a_was) and fold(b_now) == fold(b_was):
        assert (after.seq, after.value, writes, plan.cases) == (2, agreed, {}, ()), text
        return
    if order is None and fold(a_is) != fold(b_now):
        assert after.seq == 2 and not writes and len(plan.cases) == 1, text
        return
    ranked = a_is if winner == "a" else b_now
    assert fold(after.value) == fold(ranked) and not plan.cases, text
    assert set(writes) == ({"c"} if fold(ranked) != fold(agreed) else set()), text


@QUICK
@given(
    st.sampled_from(("whole", "unread", "gone", "excused", "never")),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("same", "unread")),
)
def test_creations(target: str, two_rules: bool, accept: bool, allowed: bool, b_is: str) -> None:
    """Law 11, S45, S73: a create needs a proof that there is no candidate."""
    rules = flow(BOTH, None, bridge_accept=accept)
    if two_rules:
        rules = replace(rules, match=(("name",), ("name",)))
    if not allowed:
        off = replace(rules.members["c"], creates=False)
        rules = replace(rules, members={**rules.members, "c": off})
    links = {m: linked(m, Base("x", 2)) for m in "ab"}
    gone: tuple[Link, ...] = ()
    old = linked("c", Base("x", 2))
    if target == "gone":
        gone = (replace(old, state=LinkState.GONE),)
    elif target == "excused":
        links["c"] = replace(old, state=LinkState.UNLINKED)
    agreed = {"name": Agreed("x", 2, Origin("a", 1, "edited"))}
    entity = Entity(1, agreed=agreed, links=links, gone=gone)
    if target == "never":
        entity = replace(entity, unsettled={"c": OpKind.CREATE})
    reads = {"a": WHOLE, "b": WHOLE if b_is == "same" else UNREAD}
    reads["c"] = UNREAD if target == "unread" else WHOLE
    plan = ask(rules, entity, reads)
    text = told(rules, entity, reads, plan)
    bridged = not two_rules or accept or b_is == "same"
    fine = target == "whole" and allowed and bridged
    assert sent(plan, OpKind.CREATE) == ({"c": "x"} if fine else {}), text
    if target == "unread" and allowed:
        assert plan.waits, text
