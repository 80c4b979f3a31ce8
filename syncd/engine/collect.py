"""The reading half of a run: every member pulled beside the others, and, where not everything was
read, the candidates for what was found new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from syncd.core import hashing, keys
from syncd.core.link import match_keys
from syncd.core.model import Record
from syncd.core.rules import FlowRules
from syncd.engine.context import RunContext
from syncd.engine.pull import Pulled, Reader, pull_all, pull_since, search
from syncd.engine.result import RunMode
from syncd.errors import Interrupted, SyncdError
from syncd.store import holds, missed, shadow
from syncd.store.holds import ItemState
from syncd.store.stage import Seen, Stage

_SEARCHES = 5  # times that what a search found is looked for in turn, with several match rules


def collect(context: RunContext) -> None:
    """All members beside each other; then, where not everything was read, the candidates for
    what was found new."""
    for name, error in context.open.failed.items():
        context.pulled[name] = Pulled(name, error=error)
        _note_failure(context, name, error)
    mode = context.options.mode
    works: list[Callable[[], Pulled]] = []
    for name, reader in context.readers.items():
        state = context.open.known.get(name)
        cursor = state.cursor if state is not None else None
        watch = partial(_watch, context, name)
        accepted = partial(_said_empty, context, name, ItemState.APPROVED)
        if mode is RunMode.ENTITY:
            works.append(partial(_pull_one, context, reader))
        elif mode is RunMode.INCREMENTAL and cursor and reader.compiled.spec.cursor:
            works.append(partial(pull_since, reader, cursor, _due(context, name), watch, accepted))
        else:
            works.append(partial(pull_all, reader, watch, accepted))
    for pulled in context.seams.tasks.gather(works, "pull"):
        context.pulled[pulled.member] = pulled
        member = context.report.members[pulled.member]
        member.read = pulled.rows
        if pulled.error is not None:
            if isinstance(pulled.error, Interrupted):
                raise pulled.error
            _note_failure(context, pulled.member, pulled.error)
        if pulled.empty and mode is not RunMode.ENTITY:
            context.say(
                "warning",
                f"{pulled.member} answered without a single record although records of it are "
                "linked; nothing follows from that until a person approves it",
            )
        looked = pulled.complete or pulled.keyed or mode is RunMode.ENTITY
        consistent = context.readers[pulled.member].endpoint.capabilities.consistent
        if pulled.read and looked and not consistent:
            _confirm_missing(context, pulled.member)
    _search(context)
    context.stage.index_seen()


def _due(context: RunContext, name: str) -> bool:
    """Whether an incremental run lists the member's keys. A clock that was set says nothing."""
    state = context.open.known.get(name)
    if state is None or state.listed_at is None:
        return True
    passed = abs(context.now - datetime.fromisoformat(state.listed_at))
    return passed >= timedelta(seconds=context.open.compiled.members[name].list_every)


def _confirm_missing(context: RunContext, name: str) -> None:
    """Where a listing is no single transaction, a record may merely have moved past it: absent is
    only what is not found by its id either, or, where that lookup lags, what two complete listings
    in a row did not show (law 6, S31)."""
    endpoint = context.readers[name].endpoint
    if not endpoint.lookup_is_exact():
        _missed_again(context, name)
        return
    for block in context.stage.missing(name):
        found = {seen.key for seen in block}
        why = "it moved while it was read"
        try:
            found = {row.key for row in endpoint.get(sorted(found)) if not row.deleted}
        except SyncdError as error:
            why = error.message
        context.stage.doubt([seen.id for seen in block if seen.key in found], why)


def _missed_again(context: RunContext, name: str) -> None:
    """Both listings must lie further apart than what a read there may miss."""
    shows = context.begun.shows.get(name)
    for block in context.stage.missing(name):
        keys = [seen.key for seen in block]
        with context.store.read() as conn:
            first = missed.since(conn, context.flow, name, keys)
        if context.fence is not None:
            with context.store.write(context.fence) as conn:
                tick = context.store.tick(conn)
                missed.note(conn, context.flow, name, keys, run=context.number, tick=tick)
        doubtful = [
            s.id
            for s in block
            if s.key not in first or (shows is not None and first[s.key] > shows)
        ]
        context.stage.doubt(doubtful, "it was not listed once, which proves nothing yet")
    if context.fence is not None and context.options.mode is not RunMode.ENTITY:
        with context.store.write(context.fence) as conn:
            missed.forget(conn, context.flow, name, run=context.number)


def _watch(context: RunContext, name: str, rows: int) -> None:
    context.options.progress("read", name, rows, None)
    context.beat()


def _pull_one(context: RunContext, reader: Reader) -> Pulled:
    """A single-record run: the record named; the others of its entity are read when planned. What
    a listing found empty is so until a person or another listing says otherwise."""
    assert context.options.record is not None
    member, key = context.options.record
    empty = _said_empty(context, reader.rules.name, ItemState.HELD)
    with context.store.read() as conn:
        tick = context.store.last_tick(conn)
        entity = shadow.entity_of(conn, context.flow, member, key)
    name = reader.rules.name
    if entity is not None:
        context.stage.add_todo([entity])
    elif name == member:
        try:
            rows = reader.endpoint.get([key])
        except SyncdError as error:
            return Pulled(name, tick=tick, error=error)
        for row in rows:
            if not row.deleted:
                record, complaint = reader.record(row, None)
                status = "bad" if complaint else "seen"
                context.stage.add_seen([(name, key, 0, status, record, complaint)])
        if all(row.deleted for row in rows):
            context.say("warning", f"{name} has no record {keys.show(key)}, and none is linked")
    return Pulled(name, tick=tick, rows=1 if name == member else 0, empty=empty)


def _search(context: RunContext) -> None:
    if all(p.complete or not p.read for p in context.pulled.values()):
        return
    any_key = False
    for _ in range(_SEARCHES):
        found = _seek(context)
        if found is None or (any_key and not found):
            break
        any_key = any_key or found > 0
        _search_once(context, any_key)
        if len(context.rules.match) < 2 or not any_key:
            return  # what was found has the very key it was sought by
    else:
        for name, pulled in list(context.pulled.items()):  # a chain that long: the next full run
            context.pulled[name] = replace(pulled, searched=False)


def _seek(context: RunContext) -> int | None:
    """Look for the match keys of every record found new, and, with several match rules, of those
    they led to, which may be the bridge to yet another. Answers how many of these keys were not
    looked for before; None = there is no new record."""
    rules, stage = context.rules, context.stage
    new = 0
    some = False
    for block in stage.free():
        new += _seek_keys_of(rules, stage, block)
        some = True
    if not some:
        return None
    if len(rules.match) > 1:
        for block in chain(stage.unreadable(), stage.linked()):
            new += _seek_keys_of(rules, stage, block)
    return new


def _seek_keys_of(rules: FlowRules, stage: Stage, block: Sequence[Seen]) -> int:
    return stage.seek(
        hashing.key_hash(*key)
        for seen in block
        if seen.record is not None
        for key in match_keys(rules, seen.record.fields)
    )


def _search_once(context: RunContext, any_key: bool) -> None:
    rules, stage = context.rules, context.stage

    def candidate(record: Record) -> bool:
        return any(stage.sought(hashing.key_hash(*key)) for key in match_keys(rules, record.fields))

    for name, pulled in list(context.pulled.items()):
        if pulled.complete or not pulled.read:
            continue
        try:
            if any_key:
                search(context.readers[name], candidate, partial(_watch, context, name))
            context.pulled[name] = replace(pulled, searched=True)
        except SyncdError as error:
            context.pulled[name] = replace(pulled, error=error)
            _note_failure(context, name, error)


def _note_failure(context: RunContext, name: str, error: SyncdError) -> None:
    context.report.members[name].fail("read", error)
    context.say("error", f"{name} was not read: {error}")


def _said_empty(context: RunContext, member: str, state: ItemState) -> bool:
    """Whether it was found empty and that finding stands so: held, or approved by a person."""
    with context.store.read() as conn:
        items = holds.waiting_of_kind(conn, context.flow, "empty")
    return any(i.member == member and i.state is state for i in items)


def empty_digest(member: str) -> str:
    """Names the finding "this member is empty" on a hold."""
    return hashing.digest(["empty", member])
