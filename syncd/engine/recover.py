"""What an earlier run left in the journal: what was never sent is planned anew; what was sent is
found, by key, receipt, transaction or a read, never blindly repeated (law 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from syncd.adapter import Outcome, Status
from syncd.core.mapping import MemberMapping
from syncd.core.model import UNSET, LinkState, OpKind
from syncd.engine.apply import Applied, settle_outcomes, write_of
from syncd.engine.context import RunContext
from syncd.engine.opening import recall
from syncd.errors import SyncdError
from syncd.store import journal, shadow
from syncd.store.journal import JournalEntry, OpState, Settlement

_LOOSE = 500  # entries without a token that are asked for at once


def recover(context: RunContext) -> None:
    """Settle what can be settled. What cannot stays unknown, in sight, and is asked for again in
    every run."""
    flow, dropped = context.flow, context.begun.dropped
    if dropped:
        context.say("info", f"{dropped} operations of an interrupted run were never sent")
    done: Counter[str] = Counter()
    for member, token in context.begun.unsettled:
        # what went out together is asked for together: a batch tells more than its parts
        limit = _LOOSE if token is None else None
        after = 0
        while True:
            with context.store.read() as conn:
                entries = journal.unsettled_of(conn, flow, member, token, after=after, limit=limit)
            if not entries:
                break
            after = entries[-1].id
            if member not in context.report.members:
                _departed(context, member, entries)
            elif left := _found_by_key(context, _drop_overtaken(context, entries), done):
                _settle(context, member, token, left, done)
            if limit is None:
                break
    _tell(context, done)


def _departed(context: RunContext, member: str, entries: Sequence[JournalEntry]) -> None:
    """The member takes part no more, and nobody can be asked until it is back: what was sent to it
    stays unknown, in sight."""
    sent = [entry for entry in entries if entry.state is OpState.SENT]
    if sent:
        error = f"{member} is not in the config any more"
        outcomes = [Outcome(entry.op_id, Status.UNKNOWN, error=error) for entry in sent]
        settle_outcomes(context, member, sent, outcomes, Applied())


def _tell(context: RunContext, done: Mapping[str, int]) -> None:
    for member, n in done.items():
        context.say("info", f"{n} operations sent to {member} by an interrupted run are settled")
    for member, report in context.report.members.items():
        if report.unknown:
            context.say(
                "warning",
                f"it cannot be told whether {report.unknown} operations reached {member}; "
                "they are not repeated",
            )


def _drop_overtaken(context: RunContext, left: Sequence[JournalEntry]) -> list[JournalEntry]:
    """An update nobody can tell of is past once the member has confirmed the same fields at its
    sequence or a later one, by a read or by a later write."""
    unknown = [e for e in left if e.state is OpState.UNKNOWN and e.operation.kind is OpKind.UPDATE]
    if not unknown:
        return list(left)
    with context.store.read() as conn:
        ids = {entry.entity for entry in unknown}
        entities = {e.id: e for e in shadow.load_entities(conn, context.flow, list(ids))}
    past = []
    for entry in unknown:
        entity, member = entities.get(entry.entity), entry.operation.member
        link = entity.links.get(member) if entity is not None else None
        if link is None or all(
            name in link.bases and link.bases[name].sent is UNSET and link.bases[name].seq >= seq
            for name, seq in entry.operation.seqs.items()
        ):
            past.append(entry)
    if past:
        with context.store.write(context.fence) as conn:
            journal.settle(
                conn,
                [Settlement(e.id, OpState.SUPERSEDED, error="overtaken") for e in past],
            )
            shadow.mark_work(conn, {e.entity: True for e in past})
    gone = {entry.id for entry in past}
    return [entry for entry in left if entry.id not in gone]


def _found_by_key(
    context: RunContext, left: Sequence[JournalEntry], done: Counter[str]
) -> list[JournalEntry]:
    """A create nobody can tell of is found once a record of its member was linked to its entity:
    by match key, or by a person. The values sent are its bases, unproven (law 7)."""
    unknown = [e for e in left if e.state is OpState.UNKNOWN and e.operation.kind is OpKind.CREATE]
    if not unknown:
        return list(left)
    with context.store.read() as conn:
        ids = {entry.entity for entry in unknown}
        entities = {e.id: e for e in shadow.load_entities(conn, context.flow, list(ids))}
    found: dict[str, list[tuple[JournalEntry, str]]] = {}
    for entry in unknown:
        entity, member = entities.get(entry.entity), entry.operation.member
        link = entity.links.get(member) if entity is not None else None
        if link is not None and link.state is LinkState.LIVE:
            found.setdefault(member, []).append((entry, link.key))
    for member, pairs in found.items():
        outcomes = [Outcome(entry.op_id, Status.APPLIED, key) for entry, key in pairs]
        _record(context, member, [entry for entry, _ in pairs], outcomes, done)
    past = {entry.id for pairs in found.values() for entry, _ in pairs}
    return [entry for entry in left if entry.id not in past]


def _settle(
    context: RunContext,
    member: str,
    token: str | None,
    entries: Sequence[JournalEntry],
    done: Counter[str],
) -> None:
    outcomes: list[Outcome]
    reader = context.readers.get(member)
    if reader is None:
        outcomes = [Outcome(e.op_id, Status.UNKNOWN, error="the system is away") for e in entries]
    else:
        soft = context.rules.members[member].archives
        mappings = _mappings(context, member, entries)
        outcomes = []
        by_kind: dict[str, list[JournalEntry]] = {}
        for entry in entries:
            by_kind.setdefault(str(entry.operation.kind), []).append(entry)
        for group in by_kind.values():
            try:
                writes = [write_of(e, mappings[e.fingerprint], soft) for e in group]
                outcomes += reader.endpoint.settle(writes, token)
            except SyncdError as error:
                outcomes += [Outcome(e.op_id, Status.UNKNOWN, error=str(error)) for e in group]
    _record(context, member, entries, outcomes, done)


def _record(
    context: RunContext,
    member: str,
    entries: Sequence[JournalEntry],
    outcomes: Sequence[Outcome],
    done: Counter[str],
) -> None:
    # A key that the mapping of today cannot read back is still the proof that it happened.
    report = context.report.members[member]
    before = replace(report)
    settle_outcomes(context, member, entries, outcomes, Applied())
    # done by the run that was interrupted, not by this one
    report.created, report.updated, report.deleted = before.created, before.updated, before.deleted
    report.stale, report.rejected = before.stale, before.rejected
    if known := sum(1 for o in outcomes if o.status is not Status.UNKNOWN):
        done[member] += known


def _mappings(
    context: RunContext, member: str, entries: Sequence[JournalEntry]
) -> Mapping[str, MemberMapping]:
    """The mapping each entry was made under, never that of the day (S78)."""
    now = context.open.compiled.members[member].mapping
    found: dict[str, MemberMapping] = {}
    with context.store.read() as conn:
        for digest in {e.fingerprint for e in entries}:
            if digest == context.rules.members[member].fingerprint:
                found[digest] = now
                continue
            before = shadow.fingerprint_mapping(conn, context.flow, member, digest)
            found[digest] = recall(before, member) if before else now
    return found
