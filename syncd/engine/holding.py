"""What a guard stopped, onto its holds: one open hold a flow, kind and causing member (law 16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from syncd.core.guard import Measure, Trip, kinds
from syncd.core.model import Operation
from syncd.engine.collect import empty_digest
from syncd.engine.context import RunContext
from syncd.engine.planning import Draft
from syncd.engine.result import Named, RunMode
from syncd.store import holds
from syncd.store.holds import HoldItem, ItemState

Tripped = Mapping[Measure, Trip]

_FLUSH = 2000  # items kept before they go to the store: a mass change holds every record
SETTLE_FIRST = "a person has to settle it first"
_EMPTY = "it answered without a single record although records of it are linked"


class Holding:
    """Gathers held operations over a run's drafts; `finish` says what became of the holds."""

    def __init__(self, context: RunContext, tripped: Tripped) -> None:
        self._context = context
        self._tripped = tripped
        self._waiting: dict[tuple[str, str], list[HoldItem]] = {}
        self._size = 0
        self._counts: dict[tuple[str, str], int] = {}

    def hold(self, draft: Draft) -> None:
        """The operations of one entity that a limit stops; the entity waits whole."""
        for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
            if digest in draft.approved:
                continue
            for kind in kinds(operation):
                if (kind, operation.cause, operation.member) in self._tripped:
                    entity = draft.plan.entity.id
                    item = HoldItem(
                        entity, operation.member, digest, operation.key, _summary(operation)
                    )
                    self._add((kind, operation.cause), item)
                    break
        if self._size >= _FLUSH:
            with self._context.store.write(self._context.fence) as conn:
                self._flush(conn)

    def run(self, drafts: Iterable[Draft]) -> None:
        """What this run records; creates among it may have been held before."""
        if self._context.stage.any_waiting:
            self._context.stage.set_fates((d for draft in drafts for d in draft.digests), "run")

    def finish(self, moved: Named) -> None:
        """Adds to `moved` what a person had approved and is not planned any more."""
        context = self._context
        emptied: set[str] = set()
        if context.options.mode is not RunMode.ENTITY:  # which lists nothing itself
            emptied = {name for name, pulled in context.pulled.items() if pulled.empty}
        if not (emptied or self._counts or context.stage.any_waiting):
            return
        with context.store.write(context.fence) as conn:
            for name in sorted(emptied):
                item = HoldItem(0, name, empty_digest(name), None, {"kind": "empty"})
                holds.add(
                    conn, context.flow, "empty", name, [item],
                    run=context.number, at=context.at, reason=_EMPTY, target=name,
                )  # fmt: skip
            self._flush(conn)
            self._settle(conn, moved)
        for (kind, cause), n in self._counts.items():
            trip = next(t for m, t in self._tripped.items() if m[:2] == (kind, cause))
            what = f"{n} {kind} operation{'s' if n != 1 else ''}"
            verb = "are" if n != 1 else "is"
            context.say(
                "warning", f"{what} caused by {cause or 'a rule'} {verb} held: {trip.reason}"
            )

    def _add(self, measure: tuple[str, str], item: HoldItem) -> None:
        self._waiting.setdefault(measure, []).append(item)
        self._size += 1
        self._counts[measure] = self._counts.get(measure, 0) + 1
        self._context.report.members[item.member].held += 1

    def _flush(self, conn: Connection) -> None:
        context = self._context
        if context.stage.any_waiting:
            digests = (i.op_digest for items in self._waiting.values() for i in items)
            context.stage.set_fates(digests, "held")
        for (kind, cause), items in self._waiting.items():
            mine = [t for m, t in self._tripped.items() if m[:2] == (kind, cause)]
            passed = [t for t in mine if not t.along and not t.reason.endswith(SETTLE_FIRST)]
            holds.add(
                conn,
                context.flow,
                kind,
                cause,
                items,
                run=context.number,
                at=context.at,
                reason="; ".join(f"{t.target}: {t.reason}" for t in passed),
                target=passed[0].target if len(passed) == 1 else "",
            )
        self._waiting.clear()
        self._size = 0

    def _settle(self, conn: Connection, moved: Named) -> None:
        """Items of entities that are not stored yet: run, still held, or planned no more."""
        context = self._context
        whole = context.options.mode is RunMode.FULL and context.options.only is None
        whole = whole and all(pulled.complete for pulled in context.pulled.values())
        for block in context.stage.fates():
            through: list[HoldItem] = []
            gone: list[HoldItem] = []
            for item, fate in block:
                if item.op_digest == empty_digest(item.member):
                    # stands while nothing is there: what follows may be held and asked about; not
                    # of a member that left the config meanwhile
                    pulled = context.pulled.get(item.member)
                    if pulled is None or pulled.listed:
                        through.append(item)
                elif fate == "run":
                    through.append(item)
                elif whole and fate != "held":
                    gone.append(item)
            holds.settle(conn, through, ItemState.DONE, at=context.at)
            holds.settle(conn, gone, ItemState.MOVED, at=context.at)
            for item in gone:
                if item.state is ItemState.APPROVED:
                    moved.add(item.member, item.key)


def _summary(operation: Operation) -> dict[str, object]:
    return {
        "kind": str(operation.kind),
        "cause": operation.cause,
        "before": {n: operation.before.get(n) for n in operation.fields or operation.before},
        "after": dict(operation.fields),
        "reasons": dict(operation.reasons),
    }


def list_moved(context: RunContext, moved: Named) -> None:
    """Approved is what was listed, as it stood then (law 16)."""
    if moved:
        context.say(
            "warning",
            f"{moved.count} approved operations moved and were not run: "
            + (str(moved) if moved.first else "creates"),
        )
