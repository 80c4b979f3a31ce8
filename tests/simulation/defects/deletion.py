"""Mistakes in the law of existence: absence, deletions, what comes back, what is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from defects.merging import PLANNER, Planner, _changed
from defects.plant import both, defect, faults, lagging, said, traits
from syncd.core import observe, presence
from syncd.core.model import Entity, EntityPlan, OpKind, Read, ReadStatus
from syncd.core.presence import Fate, Presence
from syncd.core.rules import Deletes, FlowRules, Mode
from syncd.engine import collect
from syncd.errors import ReadIncomplete


class _Wrapped:
    """Something with a part of it done otherwise."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


class _CutShort(_Wrapped):
    def blocks(self) -> Iterator[Any]:
        try:
            yield from self._whole.blocks()
        except ReadIncomplete:
            return


class _Believing(_Wrapped):
    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        with self._whole.snapshot() as listing:
            yield _CutShort(listing)


@defect("I14", (collect, "pull_all"), may=both(faults("cut"), said(deletes="propagate")))
def listing_cut_short_believed(pull: Callable[..., Any], reader: Any, *rest: Any) -> Any:
    """Where a listing breaks off, the rest of the records is gone."""
    return pull(replace(reader, endpoint=_Believing(reader.endpoint)), *rest)


@defect(
    "I14",
    (collect, "pull_all"),
    (collect, "pull_since"),
    may=both(faults("empty"), said(deletes="propagate")),
)
def empty_answer_believed(pull: Callable[..., Any], *question: Any) -> Any:
    """An answer without a single record means that every record was deleted."""
    return pull(*question[:-1], lambda: True)


@defect(
    "I14",
    (collect, "_confirm_missing"),
    may=both(traits(consistent=False), said(deletes="propagate")),
)
def shifting_pages_believed(confirm: Callable[..., None], *question: Any) -> None:
    """What a listing of many moments leaves out is gone; nobody looks for it by its id."""


class _Exact(_Wrapped):
    def lookup_is_exact(self) -> bool:
        return True


@defect("I14", (observe, "_evidence"), may=lagging)
def absence_needs_no_evidence(evidence: Callable[..., bool], link: Any, read: Read) -> bool:
    """A read from before our own write may prove that the record is gone."""
    return read.status is ReadStatus.MISSING or evidence(link, read)


@defect(
    "I14",
    (collect, "_confirm_missing"),
    may=both(lagging, traits(consistent=False)),
    beside=(((observe, "_evidence"), absence_needs_no_evidence),),
)
def late_copy_believed(confirm: Callable[..., None], context: Any, name: str) -> None:
    """A record that a lagging copy has not got yet is gone."""
    readers = {
        n: replace(r, endpoint=_Exact(r.endpoint)) if n == name else r
        for n, r in context.readers.items()
    }
    confirm(replace(context, readers=readers), name)


@defect(
    "I14",
    (presence, "_sort"),
    may=lambda script: any(m.get("mode") == "target" for m in script.flow["members"].values()),
)
def target_deletes(sort: Callable[..., Any], rules: FlowRules, *rest: Any) -> Any:
    """A deletion at a mere target travels."""
    members = {name: replace(m, mode=Mode.BOTH) for name, m in rules.members.items()}
    return sort(replace(rules, members=members), *rest)


@defect("I14", PLANNER, equal=True)
def deletion_not_reviewed(planner: Planner, rules: FlowRules, *rest: Any) -> EntityPlan:
    """A deletion travels though a person was to be asked."""
    if rules.deletes is Deletes.REVIEW:
        rules = replace(rules, deletes=Deletes.PROPAGATE)
    return planner(rules, *rest)


@defect("I14", PLANNER, equal=True)
def unlink_deletes(planner: Planner, rules: FlowRules, *rest: Any) -> EntityPlan:
    """A deletion travels though it was only to untie the others."""
    if rules.deletes is Deletes.UNLINK:
        rules = replace(rules, deletes=Deletes.PROPAGATE)
    return planner(rules, *rest)


@defect("I3", (presence, "_deleted"))
def deletion_undone(
    deleted: Callable[..., Presence],
    rules: FlowRules,
    entity: Any,
    sides: Any,
    merges: Any,
    deleters: Any,
    missing: tuple[str, ...],
    *rest: Any,
) -> Presence:
    """What a user deleted is made again from the others."""
    return Presence(Fate.LIVES, gone=missing, revive=missing, cause=missing[0], reason="it lives")


@defect("I2", (presence, "_against"), equal=True)
def edit_does_not_object(against: Callable[..., Any], *question: Any) -> tuple[str, ...]:
    """A deletion travels over edits that its user never saw."""
    return ()


@defect("I2", PLANNER, equal=True)
def deleted_unseen(planner: Planner, *question: Any) -> EntityPlan:
    """A delete is sent without looking at what stands there by then."""
    return _changed(planner(*question), OpKind.DELETE, expect={}, version=None)


@defect("I4", PLANNER, may=faults("down", "denied", "cut", "empty"))
def created_without_proof(
    planner: Planner, rules: FlowRules, entity: Entity, reads: Mapping[str, Read], *rest: Any
) -> EntityPlan:
    """A record is made where nobody could look whether it is there already."""
    looked = {
        name: replace(read, status=ReadStatus.SAME, complete=True)
        if name not in entity.links
        else read
        for name, read in reads.items()
    }
    return planner(rules, entity, looked, *rest)


@defect("I5", (observe, "_side"), may=traits(reuse=True, created=True))
def given_id_is_the_old_record(
    side: Callable[..., Any], member: Any, link: Any, read: Read | None
) -> Any:
    """Another record under the id of a deleted one counts as the old one, edited."""
    if read is not None and read.record is not None:
        read = replace(read, record=replace(read.record, created=None))
    return side(member, link, read)
