"""The short way for a new lone record says exactly what the general way says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncd.core.fresh import plan_fresh
from syncd.core.model import Entity, Link, Read, ReadStatus, Record
from syncd.core.plan import _EntityPlanning
from syncd.core.rules import FieldRules, FlowRules, MemberRules, Mode

FIELDS = ("name", "city", "score")
values = st.one_of(st.none(), st.text(max_size=3), st.integers(0, 3))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[FlowRules, Record, dict[str, Read]]:
    members = {}
    for name in draw(st.permutations(["a", "b", "c"])):
        writes = draw(st.sets(st.sampled_from(FIELDS)))
        bad = draw(st.sampled_from(["", "", "", "city"]))
        members[name] = MemberRules(
            name,
            draw(st.sampled_from(list(Mode))),
            frozenset(FIELDS) if name == "a" else frozenset(draw(st.sets(st.sampled_from(FIELDS)))),
            frozenset(writes),
            lambda fields, bad=bad: {bad: "no"} if bad in fields else {},
            "f" + name,
            creates=draw(st.booleans()),
        )
    fields = {
        name: FieldRules(
            name, lambda value: value, owner=draw(st.sampled_from([None, None, "a", "b"]))
        )
        for name in FIELDS
    }
    grouped = draw(st.booleans())
    groups = (("name", "city"), ("score",)) if grouped else tuple((f,) for f in FIELDS)
    rules = FlowRules("f", fields, members, groups, (("name",),))
    carried = draw(st.sets(st.sampled_from(FIELDS), min_size=2))
    modified = draw(st.sampled_from([None, "2026-01-01T00:00:00.000000Z"]))
    record = Record("a1", {f: draw(values) for f in FIELDS if f in carried}, "v", modified, None, 7)
    reads = {"a": Read(ReadStatus.SEEN, record, 1, True)}
    for name in ("b", "c"):
        reads[name] = draw(
            st.sampled_from(
                [Read(ReadStatus.SAME, None, 1, True)] * 3
                + [Read(ReadStatus.SAME, None, 1, False), Read(ReadStatus.UNREAD)]
            )
        )
    return rules, record, reads


@given(worlds())
def test_short_way_equals_general_way(world: tuple[FlowRules, Record, dict[str, Read]]) -> None:
    rules, _, reads = world
    entity = Entity(0, links={"a": Link("a", "a1")})
    short = plan_fresh(rules, entity, reads, 3, 9)
    if short is not None:
        assert short == _EntityPlanning(rules, entity, reads, (), 3, 9).plan()


def test_the_plain_case_takes_the_short_way() -> None:
    member = MemberRules(
        "a", Mode.BOTH, frozenset(FIELDS), frozenset(FIELDS), lambda fields: {}, "x"
    )
    fields = {name: FieldRules(name, lambda value: value) for name in FIELDS}
    members = {"a": member, "b": MemberRules("b", *[getattr(member, n) for n in _REST])}
    rules = FlowRules("f", fields, members, tuple((f,) for f in FIELDS), ())
    record = Record("a1", dict.fromkeys(FIELDS, "x"))
    reads = {
        "a": Read(ReadStatus.SEEN, record, 1, True),
        "b": Read(ReadStatus.SAME, None, 1, True),
    }
    plan = plan_fresh(rules, Entity(0, links={"a": Link("a", "a1")}), reads, 1, 1)
    assert plan is not None
    assert [op.member for op in plan.operations] == ["b"]


_REST = ("mode", "reads", "writes", "validate", "fingerprint")
