"""Histories of one entity among three members come to rest without loss, echo or copies."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from law import SCALE, show
from law.judge import play
from law.stories import Tale, natures, steps
from law.worlds import flows

from syncd.core.plan import plan_entity
from syncd.core.rules import DeleteConflict, Deletes

BEGINNINGS = ("a", "ab", "abc", "bc")
LONG = settings(
    max_examples=150 * SCALE,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check(tale: Tale) -> None:
    life = play(tale.rules, tale.natures, tale.steps, plan_entity, tale.begin)
    assert not life.broken, "\n".join([*life.broken, *life.log, show.entity(life.entity)])


@LONG
@given(st.builds(Tale, flows(modes=False), natures(plain=True), steps(faults=False, persons=True)))
def test_edits_without_faults(tale: Tale) -> None:
    """I1, I2, I5, S1-S6, S12, S62: everything flows or stands in a case."""
    check(tale)


@LONG
@given(st.builds(Tale, flows(), natures(plain=True), steps()))
def test_edits_with_outages_refusals_and_lost_answers(tale: Tale) -> None:
    """I1, I2, I4, I5, I6, I17; S13, S41, S43, S62-S65, S67; F7, F16, F17, F24, F27."""
    check(tale)


@LONG
@given(st.builds(Tale, flows(), natures(), steps()))
def test_edits_among_members_that_truncate_or_prove_nothing(tale: Tale) -> None:
    """The same with members without versions, times or proof, and with loss: S38, S39, S70, F25."""
    check(tale)


@LONG
@given(st.builds(Tale, flows(), natures(), steps(persons=True)))
def test_edits_and_persons_who_decide(tale: Tale) -> None:
    """S3, S4, F71: a decision counts for exactly what it was shown; what loses is told."""
    check(tale)


@LONG
@given(
    st.builds(
        Tale,
        flows(),
        natures(plain=True),
        steps(deletes=True, persons=True),
        st.sampled_from(BEGINNINGS),
    ),
    st.sampled_from(list(Deletes)),
    st.sampled_from(list(DeleteConflict)),
    st.sampled_from((None, None, ("a",), ("b", "c"))),
    st.booleans(),
)
def test_deletes_creates_edits_and_persons(
    tale: Tale,
    deletes: Deletes,
    conflict: DeleteConflict,
    give: tuple[str, ...] | None,
    every: bool,
) -> None:
    """I1 to I6 with deletions and late members: S24-S28, S31, S69, S71, F8, F29."""
    rules = replace(
        tale.rules,
        deletes=deletes,
        delete_conflict=conflict,
        deletes_from=give,
        deletes_all=every,
    )
    check(replace(tale, rules=rules))
