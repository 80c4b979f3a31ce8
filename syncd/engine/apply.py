"""Apply and settle: what the journal holds goes out in batches, each marked as sent before its
first effect; outcomes and everything they move go into one transaction."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from syncd.adapter import Outcome, Row, Status, Write
from syncd.core import hashing, keys
from syncd.core.mapping import MemberMapping
from syncd.core.masking import without
from syncd.core.model import Entity, EntityState, NoteKind, OpKind, Record
from syncd.core.packing import unpack
from syncd.core.rules import FlowRules
from syncd.core.settle import Settled, settled
from syncd.engine.context import RunContext
from syncd.engine.displace import displace
from syncd.engine.failpoint import failpoint
from syncd.engine.planning import operation_digest
from syncd.errors import AccessDenied, LeaseLost, SchemaChanged, SyncdError, Unreachable
from syncd.seams import instant_text
from syncd.store import events, journal, lease, quarantine, shadow
from syncd.store.events import Event
from syncd.store.journal import JournalEntry, OpState, Settlement
from syncd.store.quarantine import Quarantined, Refused

_ORDER = (OpKind.DELETE, OpKind.ARCHIVE, OpKind.UPDATE, OpKind.CREATE)
_ROUNDS = 5  # a child refused for want of its parent is tried again while others succeed
_FIRST_RETRY = 60.0  # seconds until a refused operation is tried again; doubled each time
_LAST_RETRY = 86_400.0

STATES = {
    Status.APPLIED: OpState.APPLIED,
    Status.STALE: OpState.STALE,
    Status.REJECTED: OpState.REJECTED,
    Status.UNKNOWN: OpState.UNKNOWN,
}


@dataclass(slots=True)
class Applied:
    """blocked  entries refused by a reference, to be tried again in this run, ascending
    stale    entities to be read and planned again, of the batch under way
    """

    blocked: array[int] = field(default_factory=lambda: array("q"))
    stale: set[int] = field(default_factory=set)


def apply_all(context: RunContext) -> int:
    """Send everything planned; members beside each other. Answers how many entities have records
    that moved under the plan; they are on the stage. Raises LeaseLost, Interrupted, StoreError; a
    system's failure is in the report."""
    due = {name for name, _ in context.recorded}
    members = [name for name in context.rules.members if name in context.readers and name in due]
    works: list[Callable[[], None]] = [partial(_apply_member, context, m) for m in members]
    context.seams.tasks.gather(works, "apply")
    return context.stage.count_stale()


def _apply_member(context: RunContext, name: str) -> None:
    for kind in _ORDER:
        if (name, kind) not in context.recorded:
            continue
        waiting: array[int] | None = None
        for _ in range(_ROUNDS):
            done = Applied()
            sent = 0
            for batch in _batches(context, name, kind, waiting):
                sent += len(batch)
                if waiting is not None:  # refused before; what counts is how it ends
                    context.report.members[name].rejected -= len(batch)
                if not _send(context, name, batch, done):
                    return
            if not done.blocked or len(done.blocked) == sent:
                break
            waiting = done.blocked
        context.report.members[name].blocked += len(done.blocked)


def _batches(
    context: RunContext, name: str, kind: OpKind, only: array[int] | None
) -> Iterator[list[JournalEntry]]:
    """What is to be sent, each batch marked as sent before it is handed out."""
    store, fence = context.store, context.fence
    size = context.readers[name].endpoint.capabilities.batch
    after = context.first_entry - 1
    while True:
        context.beat()
        if fence is None or not lease.may_send(store, fence):
            raise LeaseLost(
                "the lease ended before the next batch was sent",
                where=f"flow {context.open.name}",
                hint="another process may have taken the flow over; the next run goes on",
            )
        limit = instant_text(lease.not_after(store, fence))
        with store.write(fence) as conn:
            batch = (
                journal.next_planned(conn, context.flow, name, kind, after=after, limit=size)
                if only is None
                else journal.by_ids(conn, context.flow, _following(only, after, size))
            )
            journal.mark_sent(conn, [e.id for e in batch], sent_at=_text(context), not_after=limit)
            if batch:
                failpoint("marking-sent")
        if batch:
            failpoint("marked-sent")
            yield batch
        if len(batch) < size:
            return
        after = batch[-1].id


def _following(ids: array[int], after: int, size: int) -> Sequence[int]:
    start = bisect_right(ids, after)
    return ids[start : start + size]


def _send(context: RunContext, name: str, batch: Sequence[JournalEntry], done: Applied) -> bool:
    """One batch, marked as sent, to its settlement. False ends this member's turn: it cannot be
    reached, or lets us in no more; nothing was sent, so all of it is planned anew."""
    store, fence = context.store, context.fence
    ids = [entry.id for entry in batch]
    writes, refused = _writes(context, name, batch)

    def token(text: str) -> None:
        with store.write(fence) as conn:
            journal.set_token(conn, ids, text)
        failpoint("before-commit")

    endpoint = context.readers[name].endpoint
    check = _Check(context, name, batch)
    try:
        outcomes = endpoint.apply(writes, check, token) if writes else []
    except (Unreachable, AccessDenied, SchemaChanged) as error:
        with store.write(fence) as conn:
            journal.settle(conn, [Settlement(i, OpState.SUPERSEDED, error=str(error)) for i in ids])
        _down(context, name, error)
        return False
    except SyncdError as error:
        outcomes = [Outcome(w.op_id, Status.UNKNOWN, error=str(error)) for w in writes]
        _down(context, name, error)
    failpoint("applied")
    settle_outcomes(context, name, batch, [*outcomes, *refused], done)
    context.stage.add_stale(done.stale)
    done.stale.clear()
    failpoint("settled")
    return not context.report.members[name].error


def _writes(
    context: RunContext, name: str, batch: Sequence[JournalEntry]
) -> tuple[list[Write], list[Outcome]]:
    mapping = context.open.compiled.members[name].mapping
    soft = context.rules.members[name].archives
    writes, refused = [], []
    for entry in batch:
        try:
            writes.append(write_of(entry, mapping, soft))
        except SyncdError as error:
            refused.append(Outcome(entry.op_id, Status.REJECTED, error=str(error)))
    return writes, refused


def write_of(entry: JournalEntry, mapping: MemberMapping, soft: bool) -> Write:
    """The effect an entry stands for, in the member's own values. A member with a soft-delete
    column is never really deleted from."""
    operation = entry.operation
    kind = operation.kind
    if kind is OpKind.DELETE and soft:
        kind = OpKind.ARCHIVE
    if entry.native is not None:
        values = unpack(entry.native)
    elif kind is OpKind.CREATE:
        values = mapping.to_native(operation.fields, None)
    else:
        values = {}
    return Write(entry.op_id, kind, operation.key, values, operation.version)


class _Check:
    """The precondition of value: what the plan was computed from still stands there."""

    def __init__(self, context: RunContext, name: str, batch: Sequence[JournalEntry]) -> None:
        self._entries = {entry.op_id: entry for entry in batch}
        self._mapping = context.open.compiled.members[name].mapping
        self._fields = context.rules.fields

    def __call__(self, write: Write, row: Row | None) -> str | None:
        operation = self._entries[write.op_id].operation
        if row is None or row.deleted:
            return None if operation.kind is OpKind.DELETE else "the record is not there any more"
        stands, complaints = self._mapping.to_form(row.values)
        for name, value in operation.expect.items():
            compare = self._fields[name].compare
            if name in complaints or name not in stands or compare(stands[name]) != compare(value):
                return f"{name} was edited meanwhile"
        return None


def settle_outcomes(
    context: RunContext,
    name: str,
    entries: Sequence[JournalEntry],
    outcomes: Sequence[Outcome],
    done: Applied,
) -> None:
    """Bases, links, quarantine, audit and journal advance together."""
    answers = _masked(context.rules, entries, outcomes)
    flow, run, at = context.flow, context.number, _text(context)
    with context.store.write(context.fence) as conn:
        tick = context.store.tick(conn)
        loaded = shadow.load_entities(conn, flow, list({e.entity for e in entries}))
        state = {entity.id: entity for entity in loaded}
        settlements: list[Settlement] = []
        audit: list[Event] = []
        rejected = {e.entity for e in entries if _is_rejected(answers.get(e.op_id))}
        before = quarantine.blocked(conn, flow, list(rejected)) if rejected else {}
        refusals: list[Refused] = []
        solved: list[tuple[int, str]] = []
        touched: set[int] = set()
        for entry in entries:
            outcome = answers.get(entry.op_id)
            if outcome is None:
                outcome = Outcome(entry.op_id, Status.UNKNOWN, error="the system did not answer it")
            entity = state[entry.entity]
            after = _after(context, name, outcome)
            result = Settled(str(outcome.status), after, outcome.key)
            state[entry.entity] = settled(entity, entry.operation, result, tick, entry.fingerprint)
            touched.add(entry.entity)
            opstate = STATES[outcome.status]
            _count(context, name, entry, outcome, done)
            if outcome.status is Status.STALE and context.options.only is not None:
                _moved(context, operation_digest(entity, entry.operation))
            if outcome.status is Status.REJECTED and outcome.blocked:
                done.blocked.append(entry.id)
            if outcome.status is Status.REJECTED:
                refusals.append(_refusal(context, before, entity, entry, outcome))
            elif outcome.status is Status.APPLIED:
                solved.append((entry.entity, name))
            settlements.append(Settlement(entry.id, opstate, outcome.key, outcome.error))
            audit.append(_event(entry, outcome, after, run, at))
            if after is not None:
                audit += _degraded(context, entry, after, at)
        displace(conn, context, name, _made(entries, answers), at)
        _save(conn, context, name, [state[i] for i in touched], at)
        journal.settle(conn, settlements)
        quarantine.put(conn, flow, refusals, at=at)
        quarantine.solve(conn, flow, solved)
        events.record(conn, flow, audit)
        ended = {
            i: False for i in touched if i not in done.stale and _finished(context.rules, state[i])
        }
        unresolved = {s.id for s in settlements if s.state is not OpState.APPLIED}
        busy = {e.entity for e in entries if e.id in unresolved}
        shadow.mark_work(conn, {i: v for i, v in ended.items() if i not in busy})
        failpoint("settling")


def _masked(
    rules: FlowRules, entries: Sequence[JournalEntry], outcomes: Sequence[Outcome]
) -> dict[str, Outcome]:
    """By operation. What a system says of a record may quote it: private values are kept out of
    everything that is stored of that."""
    private = [name for name, field in rules.fields.items() if field.private]
    answers = {outcome.op_id: outcome for outcome in outcomes}
    if not private:
        return answers
    for entry in entries:
        outcome = answers.get(entry.op_id)
        if outcome is not None and outcome.error:
            operation = entry.operation
            values = [
                known[name]
                for known in (operation.fields, operation.expect, operation.before)
                for name in private
                if name in known
            ]
            answers[entry.op_id] = replace(outcome, error=without(outcome.error, values))
    return answers


def _made(entries: Sequence[JournalEntry], answers: Mapping[str, Outcome]) -> dict[str, int]:
    """By native id, the entity of each record that these creates have made."""
    made: dict[str, int] = {}
    for entry in entries:
        outcome = answers.get(entry.op_id)
        applied = outcome is not None and outcome.status is Status.APPLIED
        if entry.operation.kind is OpKind.CREATE and applied and outcome and outcome.key:
            made[outcome.key] = entry.entity
    return made


def _after(context: RunContext, name: str, outcome: Outcome) -> Record | None:
    if outcome.after is None or outcome.status is not Status.APPLIED:
        return None
    pulled = context.pulled.get(name)
    seed = pulled.seed if pulled is not None else None
    row_hash = hashing.row_hash(outcome.after.raw, seed) if seed is not None else None
    record, complaint = context.readers[name].record(outcome.after, row_hash)
    return None if complaint else replace(record, former=None)


def _save(
    conn: Connection, context: RunContext, name: str, entities: Sequence[Entity], at: str
) -> None:
    """Only this member's link moved, and perhaps the entity's state."""
    links = []
    for entity in entities:
        link = entity.links.get(name)
        if link is None:
            link = next((g for g in reversed(entity.gone) if g.member == name), None)
        if link is not None:
            links.append((entity.id, link))
    agreed = {entity.id: entity.agreed for entity in entities}
    shadow.settle_links(conn, context.flow, links, at=at, agreed=agreed)
    shadow.set_states(conn, {entity.id: entity.state for entity in entities})


def _finished(rules: FlowRules, entity: Entity) -> bool:
    """Nothing of it waits for another member or another run: no value, no deletion that has not
    arrived everywhere, no record still to be made."""
    if entity.state is EntityState.DELETING:
        return False
    known = {*entity.links, *(link.member for link in entity.gone)}
    if entity.state is EntityState.LIVE and any(
        member.mode.is_target and member.creates and name not in known
        for name, member in rules.members.items()
    ):
        return False
    for link in entity.links.values():
        for name, base in link.bases.items():
            if name in entity.agreed and base.seq < entity.agreed[name].seq:
                return False
    return not entity.unsettled


def _count(
    context: RunContext, name: str, entry: JournalEntry, outcome: Outcome, done: Applied
) -> None:
    member = context.report.members.get(name)
    if member is None:
        return  # it takes part no more: what was sent to it is unknown
    match outcome.status:
        case Status.APPLIED if entry.operation.kind is OpKind.CREATE:
            member.created += 1
        case Status.APPLIED if entry.operation.kind is OpKind.UPDATE:
            member.updated += 1
        case Status.APPLIED:
            member.deleted += 1
        case Status.STALE:
            member.stale += 1
            done.stale.add(entry.entity)
        case Status.REJECTED:
            member.rejected += 1
        case Status.UNKNOWN:
            member.unknown += 1


def _moved(context: RunContext, digest: str) -> None:
    """Planned just now as it was saved, and edited before the write arrived."""
    if digest in (context.options.only or ()):
        context.report.moved.append(digest)


def _is_rejected(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.status is Status.REJECTED


def _refusal(
    context: RunContext,
    known: Mapping[tuple[int, str], Quarantined],
    entity: Entity,
    entry: JournalEntry,
    outcome: Outcome,
) -> Refused:
    error = outcome.error
    if outcome.exists is not None:
        error += f" (there already: {keys.show(outcome.exists)})"
    before = known.get((entity.id, entry.operation.member))
    attempts = before.attempts if before is not None else 0
    wait = 0.0 if outcome.blocked else min(_FIRST_RETRY * 2**attempts, _LAST_RETRY)
    due = instant_text(context.now + timedelta(seconds=wait))
    digest = operation_digest(entity, entry.operation)
    return Refused(entity.id, entry.operation.member, digest, error, entry.operation.key, due)


def _event(entry: JournalEntry, outcome: Outcome, after: Record | None, run: int, at: str) -> Event:
    operation = entry.operation
    fields = after.fields if after is not None else operation.fields
    return Event(
        run,
        at,
        str(operation.kind),
        entry.entity,
        operation.member,
        outcome.key or operation.key,
        entry.op_id,
        dict(operation.before) or None,
        dict(fields) or None,
        operation.cause,
        "; ".join(f"{n}: {why}" if n else why for n, why in operation.reasons.items()),
        str(STATES[outcome.status]),
    )


def _degraded(context: RunContext, entry: JournalEntry, after: Record, at: str) -> list[Event]:
    """The member keeps what was sent in a form of its own (cut, rounded, normalised): told when
    it is written, not in every run (S39)."""
    fields = context.rules.fields
    own = {
        name: after.fields[name]
        for name, value in entry.operation.fields.items()
        if name in after.fields
        and after.fields[name] != value
        and fields[name].compare(after.fields[name]) != fields[name].compare(value)
    }
    if not own:
        return []
    kind, member = str(NoteKind.DEGRADED), entry.operation.member
    return [Event(context.number, at, kind, entry.entity, member, after.key, after=own)]


def _down(context: RunContext, name: str, error: SyncdError) -> None:
    context.report.members[name].fail("write", error)
    context.say("error", f"writing {name} failed: {error}")


def _text(context: RunContext) -> str:
    return instant_text(context.seams.clock.now())
