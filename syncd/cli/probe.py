"""What `check` tries out: one system, and one member with a few of its real rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from syncd.adapter import Endpoint, ObjectSchema, Row
from syncd.cli.app import App
from syncd.cli.output import number
from syncd.config import CompiledMember, MemberConfig
from syncd.core import keys
from syncd.core.link import match_keys
from syncd.core.model import Fields
from syncd.core.rules import FlowRules
from syncd.core.times import instant
from syncd.engine.opening import OpenFlow
from syncd.errors import Unrepresentable

if TYPE_CHECKING:
    from syncd.engine.session import Session

_NAMED = 3  # records named as examples


@dataclass(frozen=True, slots=True)
class Finding:
    """level: ok | info | warning | error; where: file and line, system, or flow and member."""

    level: str
    where: str
    message: str
    hint: str = ""
    code: str = ""


def system(app: App, session: Session, name: str) -> list[Finding]:
    """Whether it answers, as whom, how fast."""
    clock = app.seams.clock.monotonic
    begun = clock()
    identity = session.adapter(name).identity()
    first = clock() - begun
    begun = clock()
    session.adapter(name).identity()
    again = clock() - begun
    text = f"answers as {identity} ({first * 1000:.0f} ms, then {again * 1000:.0f} ms)"
    return [Finding("ok", f"system {name}", text)]


def member(
    opened: OpenFlow,
    config: MemberConfig,
    name: str,
    where: str,
    rows: int,
    line: Callable[[str], str],
) -> list[Finding]:
    """One member: what it can settle, what tells its records apart, and a sample of them. line:
    of a field's mapping in the file."""
    compiled, endpoint = opened.compiled.members[name], opened.endpoints[name]
    rules = opened.compiled.rules
    found = [
        *_denied(compiled, where),
        *_settles(rules, compiled, endpoint, where),
        *_unique(rules, config, compiled.schema, where),
        *_reused(config, endpoint, where),
    ]
    if not rows:
        return found
    sample = _sample(endpoint, rows)
    tried = _round_trip(opened, config, name, sample, where, line)
    tried += _timeless(config, sample, where)
    found += [*tried, *_doubles(rules, compiled, sample, where)]
    if not tried:
        what = "there and back" if compiled.spec.writes else "read"
        found.append(
            Finding(
                "ok", where, f"{number(len(sample), 'record')} of {compiled.schema.name} {what}"
            )
        )
    return found


def _sample(endpoint: Endpoint, rows: int) -> list[Row]:
    with endpoint.snapshot() as snapshot:
        raws = (raw for block in snapshot.blocks() for raw in block.raws)
        return [snapshot.decode(raw) for raw in islice(raws, rows)]


def _denied(compiled: CompiledMember, where: str) -> Iterator[Finding]:
    """A target whose user may read it only: every write would fail."""
    schema = compiled.schema
    granted = schema.privileges
    if compiled.mode.is_target and granted is not None and not granted & {"insert", "update"}:
        text = f"the user of the url may not write {schema.name}"
        hint = 'grant insert and update on it, or mode = "source"'
        yield Finding("error", where, text, hint, "SY0213")


def _settles(
    rules: FlowRules, compiled: CompiledMember, endpoint: Endpoint, where: str
) -> Iterator[Finding]:
    if not compiled.mode.is_target or not rules.members[compiled.name].creates:
        return
    means = {
        "key": "looking for its key",
        "unique": "looking for its unique value",
        "rows": "looking at the rows under the keys the database made for it",
        "receipts": "its receipt, written in the same transaction",
        "transaction": "asking the database what became of the transaction (pg_xact_status)",
    }
    how = endpoint.capabilities.settles
    if how:
        said = means.get(how, how)
        text = f"a lost answer to a create is cleared up by {said}"
        yield Finding("ok", where, text)
    else:
        yield Finding(
            "warning",
            where,
            "nothing clears up a create whose answer is lost: it would be parked as unknown",
            "receipts = true, or a unique constraint on a column that is mapped",
        )


def _unique(
    rules: FlowRules, config: MemberConfig, schema: ObjectSchema, where: str
) -> Iterator[Finding]:
    sets = [set(schema.key), *(set(columns) for columns in schema.unique)]
    for rule in rules.match:
        columns = [column for name in rule for column in config.fields[name].native]
        if any(one and one <= set(columns) for one in sets):
            continue
        named = ", ".join(columns)
        yield Finding(
            "warning",
            where,
            f"nothing keeps {schema.name} from holding two records with the same {named}",
            f"a unique constraint on ({named}); until then such records wait for a person",
        )


def _reused(config: MemberConfig, endpoint: Endpoint, where: str) -> Iterator[Finding]:
    """Without a creation mark another record under a deleted one's id looks like that one."""
    if not endpoint.capabilities.reuses or config.created is not None:
        return
    named = ", ".join(endpoint.schema.key)
    yield Finding(
        "warning",
        where,
        f"{endpoint.schema.name} gives the `{named}` of a deleted record to a new one, which looks "
        "as if the deleted one were back: it is suppressed for the `grace`, then asked about",
        f"`{named}` INTEGER PRIMARY KEY AUTOINCREMENT, or a `created` column in the config",
    )


def _round_trip(
    opened: OpenFlow,
    config: MemberConfig,
    name: str,
    sample: Sequence[Row],
    where: str,
    line: Callable[[str], str],
) -> list[Finding]:
    """Native → form → native → form of every field, the two forms the same. A type that fits none
    of the values there is a mistake in the config; one that fits most, in the records."""
    mapping = opened.compiled.members[name].mapping
    rules = opened.compiled.rules
    bad: dict[tuple[str, str], list[tuple[str, str]]] = {}  # (field, what) → (key, example)

    def note(field: str, what: str, row: Row, why: str = "") -> None:
        hidden = rules.fields[field].private
        bad.setdefault((field, what), []).append((row.key, "" if hidden else why))

    for row in sample:
        form, complaints = mapping.to_form(row.values)
        for field, why in complaints.items():
            note(field, "cannot be read", row, why)
        for field, value in form.items():
            if field not in rules.members[name].writes:
                continue
            try:
                back = mapping.expected({field: value}, row.values).get(field)
            except Unrepresentable as error:
                note(field, "cannot be written back", row, error.message)
                continue
            compare = rules.fields[field].compare
            if compare(back) != compare(value):
                note(field, "comes back as another value", row)
    findings = []
    failing: dict[str, set[str]] = {}
    for (field, _), found in bad.items():
        failing.setdefault(field, set()).update(key for key, _ in found)
    for (field, what), found in bad.items():
        example = f": {found[0][1]}" if found[0][1] else ""
        often = f"{len(found)} of {number(len(sample), 'record')}"
        named = _some([key for key, _ in found])
        text = f"`{field}` {what}{example} ({often}: {named})"
        if _filled(config, field, sample) <= failing[field]:
            text += "; its type fits no value there"
            hint = "correct the field's type, or map another column"
            findings.append(Finding("error", line(field), text, hint, "SY0176"))
            continue
        hint = "correct the records, or the field's type; a run sets such records aside"
        findings.append(Finding("warning", where, text, hint))
    return findings


def _timeless(config: MemberConfig, sample: Sequence[Row], where: str) -> list[Finding]:
    """A text column of times may hold anything."""
    told = [row for row in sample if row.modified is not None]
    lost = [row.key for row in told if instant(row.modified) is None]
    if not lost:
        return []
    often = f"{len(lost)} of {number(len(told), 'record')}: {_some(lost)}"
    text = f"`{config.modified}` holds what is no time ({often})"
    if len(lost) == len(told):
        hint = "name the column with the time of the last edit, or none"
        return [Finding("error", where, text, hint, "SY0134")]
    hint = "write such times as 2026-03-01T08:00:00Z; `newest` cannot judge edits without one"
    return [Finding("warning", where, text, hint)]


def _filled(config: MemberConfig, field: str, sample: Sequence[Row]) -> set[str]:
    """Keys of the rows that have a value there."""
    columns = config.fields[field].native
    return {row.key for row in sample if any(row.values.get(c) is not None for c in columns)}


def _doubles(
    rules: FlowRules, compiled: CompiledMember, sample: Sequence[Row], where: str
) -> Iterator[Finding]:
    counted: Counter[object] = Counter()
    records: dict[object, list[str]] = {}
    for row in sample:
        if row.deleted:
            continue
        form: Fields = compiled.mapping.to_form(row.values)[0]
        for mark in match_keys(rules, form):
            counted[mark] += 1
            records.setdefault(mark, []).append(row.key)
    twice = [mark for mark, n in counted.items() if n > 1]
    if twice:
        shown = "; ".join(_some(records[mark]) for mark in twice[:_NAMED])
        yield Finding(
            "warning",
            where,
            f"{number(len(twice), 'match key')} of the sample stand at several records: {shown}",
            "they wait for a person as conflicts of identity; the others are not held up",
        )


def _some(found: Sequence[str]) -> str:
    named = ", ".join(keys.show(key) for key in found[:_NAMED])
    return f"{named}, …" if len(found) > _NAMED else named
