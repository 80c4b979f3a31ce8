"""Mistakes between the journal and the systems: sending, answers, what is found after a crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from defects.bases import answer_without_proof_believed
from defects.deletion import _Wrapped
from defects.plant import both, defect, faults, traits
from syncd.adapter import Outcome, Status
from syncd.core import settle
from syncd.core.model import OpKind
from syncd.engine import apply, recover, run
from syncd.engine.planning import Draft
from syncd.store import journal, lease, tables
from syncd.store.journal import OpState

SETTLE = ((apply, "settle_outcomes"), (recover, "settle_outcomes"))
PROVEN = (((settle, "_confirmed"), answer_without_proof_believed),)


def _as_applied(status: Status, entries: Sequence[Any], outcomes: Sequence[Outcome]) -> Any:
    """Outcomes with this status as if the operation had gone through; a create has no key then,
    so that nothing can be made of it."""
    kinds = {e.op_id: e.operation for e in entries}
    return [
        Outcome(o.op_id, Status.APPLIED, o.key or kinds[o.op_id].key)
        if o.status is status and kinds[o.op_id].kind is not OpKind.CREATE
        else o
        for o in outcomes
    ]


@defect("I2", *SETTLE, beside=PROVEN, may=faults("lost", "half", "silent", "missing"))
def unknown_taken_for_done(
    settles: Callable[..., None], context: Any, name: str, entries: Any, outcomes: Any, done: Any
) -> None:
    """A write without an answer counts as one that went through."""
    settles(context, name, entries, _as_applied(Status.UNKNOWN, entries, outcomes), done)


@defect("I2", *SETTLE, beside=PROVEN)
def stale_taken_for_done(
    settles: Callable[..., None], context: Any, name: str, entries: Any, outcomes: Any, done: Any
) -> None:
    """A write that met another value counts as one that went through."""
    settles(context, name, entries, _as_applied(Status.STALE, entries, outcomes), done)


@defect("I2", *SETTLE, beside=PROVEN, may=faults("refuse"))
def refused_taken_for_done(
    settles: Callable[..., None], context: Any, name: str, entries: Any, outcomes: Any, done: Any
) -> None:
    """A write that the system refused counts as one that went through."""
    settles(context, name, entries, _as_applied(Status.REJECTED, entries, outcomes), done)


@defect("I11", *SETTLE, may=faults("shuffle"))
def answers_by_place(
    settles: Callable[..., None], context: Any, name: str, entries: Any, outcomes: Any, done: Any
) -> None:
    """The answers of a batch are taken in the order in which its writes were sent."""
    named = [replace(o, op_id=e.op_id) for e, o in zip(entries, outcomes, strict=False)]
    settles(context, name, entries, named, done)


@defect(
    "I11",
    (journal, "mark_sent"),
    may=faults(
        "crash", "crash-write", "crash-answer", "store-begin", "store-commit", "store-after"
    ),
)
def not_marked_as_sent(mark: Callable[..., None], *question: Any, **said: Any) -> None:
    """Nothing says that an operation was sent before its answer is there."""


@defect(
    "I11",
    (journal, "set_token"),
    may=both(
        faults(
            "crash",
            "crash-write",
            "crash-answer",
            "store-begin",
            "store-commit",
            "store-after",
            "lost",
            "half",
            "silent",
        ),
        traits(proof="transaction"),
    ),
)
def transaction_forgotten(set_token: Callable[..., None], *question: Any) -> None:
    """The name of the transaction in which writes travel is not written down."""


@defect("I7", (run, "recover"))
def never_recovered(recover_: Callable[..., None], context: Any) -> None:
    """What an interrupted run left in the journal is not looked at."""


@defect(
    "I7",
    (journal, "supersede_planned"),
    may=faults(
        "crash",
        "crash-write",
        "crash-answer",
        "store-begin",
        "store-commit",
        "store-after",
        "pause",
        "down",
        "interrupt",
    ),
)
def planned_never_dropped(supersede: Callable[..., int], *question: Any, **said: Any) -> int:
    """What an interrupted run planned and never sent stays in the journal."""
    return 0


@defect(
    "I4",
    (run, "recover"),
    may=faults(
        "crash",
        "crash-write",
        "crash-answer",
        "store-begin",
        "store-commit",
        "store-after",
        "lost",
        "half",
        "silent",
        "missing",
    ),
)
def sent_taken_for_unsent(recover_: Callable[..., None], context: Any) -> None:
    """What an interrupted run had sent counts as never sent, and is planned anew."""
    operation = tables.operation
    open_ = operation.c.state.in_([state.value for state in journal.OUTCOME_OPEN])
    with context.store.write(context.fence) as conn:
        conn.execute(operation.update().where(open_).values(state=OpState.SUPERSEDED.value))
    recover_(context)


class _Renaming(_Wrapped):
    """Settles under other names than those under which was sent."""

    def settle(self, writes: Any, token: Any) -> Any:
        other = [replace(w, op_id=f"{w.op_id}-2") for w in writes]
        return [replace(o, op_id=o.op_id[:-2]) for o in self._whole.settle(other, token)]


@defect(
    "I4",
    (run, "recover"),
    may=both(
        faults(
            "crash",
            "crash-write",
            "crash-answer",
            "store-begin",
            "store-commit",
            "store-after",
            "lost",
            "half",
            "silent",
            "missing",
        ),
        traits(proof="receipts"),
    ),
)
def operation_key_dropped(recover_: Callable[..., None], context: Any) -> None:
    """An operation is asked for under another id than the one it was sent with."""
    readers = {
        name: replace(reader, endpoint=_Renaming(reader.endpoint))
        for name, reader in context.readers.items()
    }
    recover_(replace(context, readers=readers))


class _Repeating(_Wrapped):
    """Sends once more what has no answer."""

    def apply(self, writes: Any, check: Any, token: Any) -> Any:
        outcomes = self._whole.apply(writes, check, token)
        open_ = {o.op_id for o in outcomes if o.status is Status.UNKNOWN}
        again = [w for w in writes if w.op_id in open_]
        if not again:
            return outcomes
        done = self._whole.apply(again, check, token)
        return [*(o for o in outcomes if o.op_id not in open_), *done]


@defect("I7", (apply, "_send"), may=faults("lost", "half", "silent"))
def repeated_without_asking(send: Callable[..., bool], context: Any, name: str, *rest: Any) -> bool:
    """A write without an answer is sent once more at once."""
    endpoint = _Repeating(context.readers[name].endpoint)
    reader = replace(context.readers[name], endpoint=endpoint)
    return send(replace(context, readers={**context.readers, name: reader}), name, *rest)


@defect("I1", (Draft, "work"))
def open_work_forgotten(work: Callable[..., bool], draft: Draft) -> bool:
    """An entity that waits for something is not looked at again."""
    return False


def _believed(*question: Any) -> bool:
    return True


@defect("I15", (lease, "check"), beside=(((lease, "may_send"), _believed),), may=faults("pause"))
def lease_never_looked_at(check: Callable[..., None], *question: Any) -> None:
    """Who once had a flow believes to have it for ever."""
