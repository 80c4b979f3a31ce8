"""Deletions and what becomes of them, against their rules written out in full (laws 1, 6, 12)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from law.small import ABSENT, BOTH, QUICK, UNREAD, ask, flow, linked, seen, sent, told
from law.worlds import MEMBERS

from syncd.core.model import (
    Agreed,
    Base,
    CaseKind,
    Choice,
    Decision,
    Entity,
    EntityState,
    LinkState,
    NoteKind,
    OpKind,
    Origin,
)
from syncd.core.rules import DeleteConflict, Deletes, Drift, FlowRules, Mode

AGREED = {"name": Agreed("x", 2, Origin("a", 1, "edited"))}
EVENTS = st.sampled_from(
    ("same", "same", "gone", "edited", "unread", "pending", "blindly", "arrived", "formed")
)
"""pending: behind, unedited; blindly: deleted by one who had not seen the last value; arrived: an
unknown write of ours is found; formed: a write without proof is found in the member's own form."""
BASES = {
    "pending": Base("old", 1),
    "blindly": Base("old", 1),
    "arrived": Base("old", 1, sent="x"),
    "formed": Base("x", 2, unproven=True, seen="its x"),
}


def heard(rules: FlowRules) -> set[str]:
    """Members whose deletions count."""
    named = rules.deletes_from
    return {
        m for m, r in rules.members.items() if r.mode.is_source and (named is None or m in named)
    }


@QUICK
@given(
    st.fixed_dictionaries(dict.fromkeys(MEMBERS, EVENTS)),
    st.sampled_from((BOTH, {**BOTH, "c": Mode.TARGET}, {**BOTH, "a": Mode.SOURCE})),
    st.sampled_from(list(Deletes)),
    st.sampled_from(list(DeleteConflict)),
    st.sampled_from((None, ("a",), ("b", "c"))),
    st.booleans(),
    st.sampled_from(list(Drift)),
)
def test_deletions(
    events: dict[str, str],
    modes: dict[str, Mode],
    deletes: Deletes,
    conflict: DeleteConflict,
    give: tuple[str, ...] | None,
    every: bool,
    drift: Drift,
) -> None:
    """S24-S26, S28, S69, S71; F29, I5: who may delete what, and against whom."""
    rules = flow(modes, None, deletes=deletes, delete_conflict=conflict, deletes_from=give)
    rules = replace(rules, deletes_all=every, drift=drift)
    links, reads = {}, {}
    for m, event in events.items():
        links[m] = linked(m, BASES.get(event, Base("x", 2)))
        reads[m] = {
            "same": seen(m, "x"),
            "gone": ABSENT,
            "blindly": ABSENT,
            "edited": seen(m, f"new-{m}"),
            "unread": UNREAD,
            "pending": seen(m, "old"),
            "arrived": seen(m, "x"),
            "formed": seen(m, "its x"),
        }[event]
    unknown = {m: OpKind.UPDATE for m, event in events.items() if event == "arrived"}
    entity = Entity(1, agreed=AGREED, links=links, unsettled=unknown)
    plan = ask(rules, entity, reads)
    text = told(rules, entity, reads, plan)
    gone = {m for m in MEMBERS if events[m] in ("gone", "blindly")}
    deciders = gone & heard(rules)
    released: set[str] = set()
    if every and heard(rules) - gone:
        deciders, released = set(), deciders  # others of them still have it: they only left
    # a source that cannot be written is owed nothing, so that it cannot be pending either
    blind = {m for m in MEMBERS if events[m] == "blindly" and modes[m].is_target}
    rivals = {m for m in MEMBERS if events[m] == "edited"} | blind
    deletions = set(sent(plan, OpKind.DELETE))
    creations = set(sent(plan, OpKind.CREATE))
    asks = [c for c in plan.cases if c.kind is CaseKind.DELETE]
    unread = {m for m in MEMBERS if events[m] == "unread"}
    # Never, whatever the policies:
    assert not deletions & (unread | gone), f"S28: a delete without a read{text}"
    assert all(modes[m].is_target for m in deletions | creations), f"I6{text}"
    assert not creations & released, f"S69: one that left does not get it back{text}"
    for op in plan.operations:
        if op.kind is OpKind.DELETE:
            stands = reads[op.member].record
            assert stands and op.expect == stands.fields, f"a delete without precondition{text}"
    if deletions:
        assert deciders, f"law 1: nobody with authority deleted{text}"
        assert deletes is Deletes.PROPAGATE, text
        assert conflict is DeleteConflict.DELETE_WINS or not deletions & rivals, text
    if deciders and deletes in (Deletes.UNLINK, Deletes.IGNORE):
        assert not deletions and not creations & gone, f"S71{text}"
    if asks:
        assert not plan.operations, f"a deletion under review freezes the entity{text}"
    # The plain cases in full:
    if gone == set(MEMBERS):
        assert not plan.operations and not asks, f"S26{text}"
        assert plan.entity.state in (EntityState.GONE, EntityState.ENDED), text
    elif deciders and not rivals and gone == deciders:
        reach = {m for m in set(MEMBERS) - gone - unread if modes[m].is_target}
        if deletes is Deletes.PROPAGATE:
            assert deletions == reach and not asks, text
            assert plan.entity.state is not EntityState.LIVE, text
        elif deletes is Deletes.REVIEW:
            assert len(asks) == 1 and plan.entity.state is EntityState.LIVE, text
        elif deletes is Deletes.UNLINK:
            assert not plan.operations and not asks, text
        elif deletes is Deletes.ARCHIVE:  # no member here has a column for it
            assert not plan.operations and not asks, text
            assert plan.entity.state is not EntityState.LIVE, text
        elif deletes is Deletes.IGNORE:  # the others go on without it
            behind = {m for m in MEMBERS if events[m] == "pending" and modes[m].is_target}
            assert set(sent(plan, OpKind.UPDATE)) == behind, text
            assert not deletions | creations and not asks, text
    elif deciders and rivals and gone == deciders and deletes is Deletes.PROPAGATE:
        if conflict is DeleteConflict.REVIEW:
            assert len(asks) == 1, text
        elif conflict is DeleteConflict.EDIT_WINS:
            assert not deletions and not asks, text
            # A field that is asked about keeps its record from being made again, for now.
            settled = any(modes[m].is_source for m in rivals) and not plan.cases
            if settled and gone | unread != set(MEMBERS):
                assert creations == {m for m in gone if modes[m].is_target}, text
        else:
            assert not creations and not asks, text
            lost = {n.member for n in plan.notes if n.kind is NoteKind.LOST}
            assert lost >= rivals - gone, f"S25: the edit is kept in the audit{text}"
    elif deciders and rivals and gone == deciders and deletes is Deletes.REVIEW:
        # Who wins is one question, what becomes of a deletion that won another: review asks.
        assert len(asks) == (conflict is not DeleteConflict.EDIT_WINS), text
    elif gone and not gone & heard(rules):
        if drift is Drift.REVERT and not rivals and gone | unread != set(MEMBERS):
            assert creations == {m for m in gone if modes[m].is_target}, text
            assert not asks, text
        elif drift is Drift.KEEP:
            assert not creations & gone, text
            held = {m: k.state for m, k in plan.entity.links.items()}
            assert all(held.get(m) is not LinkState.LIVE for m in gone), text


@QUICK
@given(
    st.fixed_dictionaries(
        dict.fromkeys("bc", st.sampled_from(("same", "edited", "gone", "unread", "arrived")))
    ),
    st.sampled_from(list(DeleteConflict)),
    st.sampled_from((None, Choice.DELETE, Choice.KEEP, Choice.UNLINK)),
)
def test_a_deletion_under_way(
    events: dict[str, str], conflict: DeleteConflict, said: Choice | None
) -> None:
    """Law 12, I3: it goes on until every link is gone; one that comes back edited is heard."""
    rules = flow(BOTH, None, deletes=Deletes.PROPAGATE, delete_conflict=conflict)
    tomb = replace(linked("a", Base("x", 2)), state=LinkState.GONE)
    links = {m: linked(m, BASES.get(event, Base("x", 2))) for m, event in events.items()}
    answers = {"same": "x", "edited": "new", "arrived": "x"}
    reads = {"a": ABSENT}
    for m, event in events.items():
        reads[m] = {"gone": ABSENT, "unread": UNREAD}.get(event) or seen(m, answers[event])
    entity = Entity(1, EntityState.DELETING, AGREED, links, (tomb,))
    plan = ask(rules, entity, reads)
    asks = [c for c in plan.cases if c.kind is CaseKind.DELETE]
    if asks and said is not None:
        decision = Decision(5, asks[0].digest, said, "jo")
        other = Decision(6, "another case", said, "jo")
        plan = ask(rules, entity, reads, [decision, other])
        assert (plan.used, plan.voided) in (((5,), (6,)), ((5,), ())), plan
    text = told(rules, entity, reads, plan)
    read = {m for m, event in events.items() if event in ("same", "edited", "arrived")}
    edited = {m for m, event in events.items() if event == "edited"}
    deletions, state = set(sent(plan, OpKind.DELETE)), plan.entity.state
    creations = set(sent(plan, OpKind.CREATE))
    wins = not edited or conflict is DeleteConflict.DELETE_WINS
    if wins or (asks and said is Choice.DELETE):
        assert deletions == read and not creations, f"I3{text}"
        assert state is (
            EntityState.GONE if set(events.values()) == {"gone"} else EntityState.DELETING
        ), text
        lost = {n.member: n.values for n in plan.notes if n.kind is NoteKind.LOST}
        assert lost == {m: {"name": "new"} for m in edited}, f"S25{text}"
    elif asks and said is None:
        assert not plan.operations and plan.entity == entity, text
    elif asks and said is Choice.UNLINK:
        assert not plan.operations and state is EntityState.ENDED, text
    else:
        assert not deletions and state is EntityState.LIVE, text
        agreed = plan.entity.agreed["name"]
        assert agreed.value == "new" and agreed.seq == 3, text
        if "unread" not in events.values():
            assert creations >= {"a"}, text
