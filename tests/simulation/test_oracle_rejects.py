"""The judge of simulated lives says no to a bad history of each kind, and yes to the same one
without the fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from histories import FLOW, History, person


def laws(found: Sequence[str]) -> set[str]:
    return {text.partition(":")[0] for text in found}


def told(begin: History | None = None) -> History:
    """A user enters a record at a; it is made at b."""
    history = begin or History()
    history.user("a", 1, person())
    history.syncd("b", 1, person(), op="made")
    history.ends()
    history.stands("a", 1, 1)
    history.stands("b", 1, 1)
    return history


def rests(history: History) -> History:
    for _ in range(2):
        history.ends(settling=True)
    return history


def edited(history: History) -> History:
    """The user at a gives another name, which b gets."""
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3"), op="edited")
    history.ends()
    return history


def test_an_ordinary_history_is_accepted(tmp_path: Path) -> None:
    assert rests(edited(told())).judged(tmp_path) == []


def test_i1_sides_that_differ_at_the_end(tmp_path: Path) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I1"}


def test_i1_a_record_that_is_missing_at_the_end(tmp_path: Path) -> None:
    history = told()
    history.user("a", 2, person(email="p1.@x", name="p1.1", city="p1.2"), about=1)
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I1"}


def both_edited(note: str | None, reason: str = "newest") -> History:
    """Users of both give another name; that of a wins. note: kind of what the audit says of it"""
    history = told(History({**FLOW, "conflict": "newest"}))
    history.user("b", 1, person(name="p0.3"))
    history.user("a", 1, person(name="p0.4"))
    history.syncd("b", 1, person(name="p0.4"), op="edited")
    history.ends()
    if note is not None:
        history.audit(note, 1, None, {"name": "p0.3"}, reason=reason)
    return rests(history)


def test_i2_an_edit_that_was_overwritten_without_a_word(tmp_path: Path) -> None:
    assert laws(both_edited(None).judged(tmp_path)) == {"I2"}


def test_i2_an_edit_that_lost_by_the_flows_policy_is_accepted(tmp_path: Path) -> None:
    assert both_edited("lost").judged(tmp_path) == []


@pytest.mark.parametrize("reason", ["prefer:b", "first prefer:a", "review", "person:jo"])
def test_i2_an_edit_that_lost_by_what_nobody_said(tmp_path: Path, reason: str) -> None:
    assert laws(both_edited("lost", reason).judged(tmp_path)) == {"I2"}


def test_i2_an_edit_buried_with_its_record(tmp_path: Path) -> None:
    """The user at a deletes what the user at b edited meanwhile; no policy says that this goes."""
    history = told()
    history.user("b", 1, person(name="p0.3"))
    history.user("a", 1, None)
    history.syncd("b", 1, None, op="deleted")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I2"}


def test_i2_an_edit_that_loses_against_a_deletion_by_policy_is_accepted(tmp_path: Path) -> None:
    history = told(History({**FLOW, "delete_conflict": "delete-wins"}))
    history.user("b", 1, person(name="p0.3"))
    history.user("a", 1, None)
    history.syncd("b", 1, None, op="deleted")
    history.ends()
    assert rests(history).judged(tmp_path) == []


@pytest.mark.parametrize(
    ("policy", "later", "expected"),
    [
        ("prefer:a", "b", set()),
        ("prefer:b", "b", {"I2"}),
        ("prefer:b,a", "a", {"I2"}),
        ("newest", "a", set()),
        ("newest", "b", {"I2"}),
    ],
)
def test_i2_a_policy_takes_another_than_it_names(
    tmp_path: Path, policy: str, later: str, expected: set[str]
) -> None:
    """Users of both give a name, `later` the other a minute later; that of a wins."""
    history = told(History({**FLOW, "conflict": policy}))
    names = {"b": "p0.3", "a": "p0.4"}
    for member in sorted("ab", key=lambda name: name == later):
        history.user(member, 1, person(name=names[member]))
        history.round += 1
    history.syncd("b", 1, person(name="p0.4"), op="edited")
    history.ends()
    history.audit("lost", 1, None, {"name": "p0.3"}, reason=policy, member_id=2)
    assert laws(rests(history).judged(tmp_path)) == expected


@pytest.mark.parametrize(("owner", "expected"), [("b", {"I2"}), (None, set())])
def test_i2_an_edit_that_somebody_without_a_say_overwrote(
    tmp_path: Path, owner: str | None, expected: set[str]
) -> None:
    """The user at a saw the value of b and gave another; b owns the field, or nobody does."""
    name = {"type": "text", "owner": owner}
    history = edited(told(History({**FLOW, "fields": {**FLOW["fields"], "name": name}})))
    history.user("b", 1, person(name="p0.4"))
    history.syncd("a", 1, person(name="p0.4"), op="back")
    history.ends()
    history.user("a", 1, person(name="p0.5"))
    history.syncd("b", 1, person(name="p0.5"), op="forth")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == expected


@pytest.mark.parametrize(("both", "expected"), [(["p0.t2", "p0.t3"], set()), (["p0.t3"], {"I2"})])
def test_i2_an_element_of_a_set_that_got_lost(
    tmp_path: Path, both: list[str], expected: set[str]
) -> None:
    """The users of both add something; afterwards both members have `both`."""
    tags = {"type": "set", "conflict": "merge"}
    history = told(History({**FLOW, "fields": {**FLOW["fields"], "tags": tags}}))
    history.user("a", 1, person(tags=["p0.t2"]))
    history.user("b", 1, person(tags=["p0.t3"]))
    for member in "ab":
        if history.truth[member, 1][1]["tags"] != both:
            history.syncd(member, 1, person(tags=both), op=f"merged-{member}")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == expected


def deleted(history: History, back: bool) -> History:
    history.user("a", 1, None)
    if back:
        history.syncd("a", 2, person(), op="again")
    else:
        history.syncd("b", 1, None, op="deleted")
    history.ends()
    return rests(history)


def test_i3_what_a_user_deleted_is_made_again(tmp_path: Path) -> None:
    assert "I3" in laws(deleted(told(), back=True).judged(tmp_path))


def test_i3_a_deletion_that_travels_is_accepted(tmp_path: Path) -> None:
    assert deleted(told(), back=False).judged(tmp_path) == []


def test_i4_a_second_record_for_the_same_person(tmp_path: Path) -> None:
    history = told()
    history.syncd("b", 2, person(), op="twice")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I4"}


def test_i4_a_record_that_a_user_had_entered_there(tmp_path: Path) -> None:
    history = History()
    history.user("b", 1, person())
    history.ends()
    history.user("a", 1, person())
    history.ends()
    history.syncd("b", 2, person(), op="made")
    history.ends()
    assert "I4" in laws(rests(history).judged(tmp_path))


def test_i5_a_value_that_nobody_gave(tmp_path: Path) -> None:
    history = told()
    for member in "ab":
        history.syncd(member, 1, person(name="p0.9"), op=f"invented-{member}")
    history.ends()
    assert "I5" in laws(rests(history).judged(tmp_path))


def test_i5_a_write_of_what_stood_there_already(tmp_path: Path) -> None:
    history = History()
    for member in "ab":
        history.user(member, 1, person())
        history.stands(member, 1, 1)
    history.happens(
        "syncd", "update", "b", 1, person=0, before=person(), after=person(), op_id="echo",
        sent={"name": "p0.1"},
    )  # fmt: skip
    history.audit("update", 1, person(), person(), op_id="echo", outcome="applied")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I5"}


def test_i6_a_dry_run_that_writes(tmp_path: Path) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3"), op="edited")
    history.ends(mode="dry")
    assert laws(rests(history).judged(tmp_path)) == {"I6"}


def test_i6_a_member_that_is_no_target(tmp_path: Path) -> None:
    members = {**FLOW["members"], "b": {**FLOW["members"]["b"], "mode": "source"}}
    assert laws(rests(told(History({**FLOW, "members": members}))).judged(tmp_path)) == {"I6"}


def test_i6_a_field_that_nobody_mapped(tmp_path: Path) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3", memo="other"), op="edited")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I6"}


@pytest.mark.parametrize("state", ["planned", "sent"])
def test_i7_an_operation_that_never_ends(tmp_path: Path, state: str) -> None:
    history = told()
    history.operation("open", 1, state)
    assert laws(rests(history).judged(tmp_path)) == {"I7"}


@pytest.mark.parametrize("state", ["applied", "superseded", "rejected", "unknown", "stale"])
def test_i7_an_operation_that_ended_or_is_parked_is_accepted(tmp_path: Path, state: str) -> None:
    history = told()
    history.operation("ended", 1, state)
    assert rests(history).judged(tmp_path) == []


def test_i7_an_operation_with_two_effects(tmp_path: Path) -> None:
    history = told()
    history.syncd("b", 2, person(), op="made")
    history.ends()
    assert "I7" in laws(rests(history).judged(tmp_path))


@pytest.mark.parametrize(
    ("limit", "approved", "expected"),
    [(1, False, {"I9"}), (2, False, set()), (0, True, {"I9"}), (1, True, set())],
)
def test_i9_more_deletions_than_the_guard_or_a_person_allows(
    tmp_path: Path, limit: int, approved: bool, expected: set[str]
) -> None:
    history = History({**FLOW, "guard": {"deletes": limit}})
    people = [person(email=f"p{n}.@x", name=f"p{n}.1", city=f"p{n}.2") for n in range(2)]
    for number, values in enumerate(people):
        history.user("a", number + 1, values, about=number)
        history.syncd("b", number + 1, values, op=f"made-{number}", about=number)
    history.ends()
    if approved:
        history.happens("operator", "approve", detail="hold 1 delete a: 1 operations")
    for number in range(2):
        history.user("a", number + 1, None, about=number)
        history.syncd("b", number + 1, None, op=f"deleted-{number}", about=number)
        history.ends()
    assert laws(rests(history).judged(tmp_path)) == expected


def test_i11_an_effect_that_is_not_in_the_audit(tmp_path: Path) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3"), op="edited", audited=False)
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I11"}


@pytest.mark.parametrize(("outcome", "expected"), [("stale", {"I11"}), ("unknown", set())])
def test_i11_an_effect_of_which_the_audit_says_that_it_never_was(
    tmp_path: Path, outcome: str, expected: set[str]
) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3"), op="edited", audited=False)
    history.audit("update", 1, person(), person(name="p0.3"), op_id="edited", outcome=outcome)
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == expected


@pytest.mark.parametrize("lacks", ["before", "after"])
def test_i11_an_audit_that_lacks_what_was_changed(tmp_path: Path, lacks: str) -> None:
    history = told()
    history.user("a", 1, person(name="p0.3"))
    history.syncd("b", 1, person(name="p0.3"), op="edited", audited=False)
    values = {"before": person(), "after": person(name="p0.3"), lacks: None}
    history.audit("update", 1, values["before"], values["after"], op_id="edited", outcome="applied")
    history.ends()
    assert laws(rests(history).judged(tmp_path)) == {"I11"}


def test_i14_a_deletion_that_nobody_asked_for(tmp_path: Path) -> None:
    history = told()
    for member in "ab":
        history.syncd(member, 1, None, op=f"deleted-{member}")
    history.ends()
    assert "I14" in laws(rests(history).judged(tmp_path))


@pytest.mark.parametrize("policy", ["review", "unlink", "ignore"])
def test_i14_a_deletion_that_the_policy_does_not_send_on(tmp_path: Path, policy: str) -> None:
    history = told(History({**FLOW, "deletes": policy}))
    assert "I14" in laws(deleted(history, back=False).judged(tmp_path))


def taken_over(call: str, late: int) -> History:
    """A run stands still at a call; another process takes the flow over and writes; then the
    first one goes on with `late` more writes."""
    history = told()
    for number in range(3):
        values = person(email=f"p{number + 1}.@x", name=f"p{number + 1}.1", city=None)
        history.user("a", number + 2, values, about=number + 1)
    history.happens("fault", "pause", "b", detail=call)
    history.happens("fault", "takeover")
    (_, first), *others = [history.truth["a", number + 2] for number in range(3)]
    history.syncd("b", 2, first, op="other", about=1)
    history.happens("fault", "resume")
    for number, (_, values) in enumerate(others[:late]):
        history.syncd("b", number + 3, values, op=f"late-{number}", about=number + 2)
    history.ends()
    for number, (_, values) in enumerate(others[late:], late):
        history.syncd("b", number + 3, values, op=f"next-{number}", about=number + 2)
    history.ends()
    return rests(history)


@pytest.mark.parametrize(
    ("call", "late", "expected"),
    [("page", 1, {"I15"}), ("write", 2, {"I15"}), ("write", 1, set()), ("page", 0, set())],
)
def test_i15_who_lost_the_flow_goes_on_writing(
    tmp_path: Path, call: str, late: int, expected: set[str]
) -> None:
    assert laws(taken_over(call, late).judged(tmp_path)) == expected


def spoken(text: str, private: bool) -> History:
    """A run says this of the person whose name is p0.17."""
    name = {"type": "text", "private": private}
    history = told(History({**FLOW, "fields": {**FLOW["fields"], "name": name}}))
    history.user("a", 1, person(name="p0.17"))
    history.syncd("b", 1, person(name="p0.17"), op="edited")
    history.ends()
    history.trace.runs[-1].text = text
    return rests(history)


@pytest.mark.parametrize(
    ("text", "private", "expected"),
    [
        ("b refused {'name': 'p0.17'}", True, {"I16"}),
        ("b refused {'name': 'p0.17'}", False, set()),
        ("b refused {'name': '***'}", True, set()),
        ("b refused p0.171", True, set()),
    ],
)
def test_i16_a_private_value_in_a_message(
    tmp_path: Path, text: str, private: bool, expected: set[str]
) -> None:
    assert laws(spoken(text, private).judged(tmp_path)) == expected


def test_i16_a_private_value_in_an_error_of_the_journal(tmp_path: Path) -> None:
    history = spoken("", private=True)
    history.rows.append(("operation", {"op_id": "x", "entity_id": 1, "state": "rejected",
                                       "kind": "update", "error": "no 'p0.17' here"}))  # fmt: skip
    assert laws(history.judged(tmp_path)) == {"I16"}


def test_i17_a_flow_that_never_comes_to_rest(tmp_path: Path) -> None:
    history = told()
    for number in range(2):
        history.user("a", 1, person(name=f"p0.{number + 5}"))
        history.syncd("b", 1, person(name=f"p0.{number + 5}"), op=f"edited-{number}")
        history.ends(settling=True)
    assert laws(history.judged(tmp_path)) == {"I17"}


def test_i17_a_run_that_does_not_end(tmp_path: Path) -> None:
    history = rests(told())
    history.trace.runs[0].calls = 5000
    assert laws(history.judged(tmp_path)) == {"I17"}
