"""The planner agrees with an independent brute-force reading of the law."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from law import SCALE, show
from law.compare import disagreements
from law.worlds import RUN, TICK, World, worlds

from syncd.core.model import EntityPlan
from syncd.core.plan import plan_entity

BROAD = settings(
    max_examples=400 * SCALE,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def plan_of(world: World) -> EntityPlan:
    return plan_entity(world.rules, world.entity, world.reads, (), RUN, TICK)


def check(world: World) -> None:
    plan = plan_of(world)
    found = disagreements(world, plan)
    assert not found, "\n".join([*found, show.plan(plan)])


@BROAD
@given(worlds(plain=True))
def test_merge_agrees_with_the_model(world: World) -> None:
    """Laws 1 to 5 and 14, S1-S3, S5, S10, S12, S13, S63, S67, S70, F7."""
    check(world)


@BROAD
@given(worlds())
def test_merge_with_unproven_and_unknown_writes_agrees_with_the_model(world: World) -> None:
    """Laws 5 and 7, S39, S43, S64."""
    check(world)
