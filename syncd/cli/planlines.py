"""A plan and a run's report, as lines for people and as JSON.

Every line of a plan names direction and reason; deletions come last, where the eye ends, and are
never among those left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.cli.output import masked, number, plain, shown
from syncd.config.models import FlowConfig
from syncd.core import keys
from syncd.core.model import UNSET, Case, Operation, OpKind, Value
from syncd.engine.result import MemberReport, PlannedOperation, RunReport, RunState, order

_SIGNS = {OpKind.UPDATE: "~", OpKind.CREATE: "+", OpKind.DELETE: "-", OpKind.ARCHIVE: "-"}
_FAILED = {"read": "not read", "write": "writing failed"}
_FEW = 20
_SAID = 4  # fields of a new record that one line has room for


@dataclass(frozen=True, slots=True)
class View:
    """How a flow's values are shown. order: the fields that tell records apart come first."""

    private: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()

    @classmethod
    def of(cls, flow: FlowConfig) -> View:
        private = frozenset(name for name, options in flow.fields.items() if options.private)
        match = (name for rule in flow.match for name in rule)
        return cls(private, tuple(dict.fromkeys((*match, *flow.fields))))

    def sorted(self, names: Iterable[str]) -> list[str]:
        rank = {name: at for at, name in enumerate(self.order)}
        return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def key_text(key: str | None) -> str:
    return "(new)" if key is None else plain(keys.show(key))


def operation_lines(planned: PlannedOperation, view: View) -> Iterator[str]:
    """`~ erp → crm 17  credit  100.00 → 250.00  (owner erp)`, a line for each field."""
    operation = planned.operation
    sign = _SIGNS[operation.kind]
    # a member's own change that comes back to it (put back, or the agreed form of it) has no way
    source = operation.cause if operation.cause != operation.member else ""
    way = f"{source or 'agreed'} → {operation.member} {key_text(operation.key)}"
    held = f"  [held: {planned.held}]" if planned.held else ""
    if operation.kind is OpKind.UPDATE:
        for name in view.sorted(operation.fields):
            hidden = name in view.private
            before = shown(operation.before.get(name, UNSET), private=hidden)
            after = shown(operation.fields[name], private=hidden)
            yield f"{sign} {way}  {name}  {before} → {after}{_reason(operation, name)}{held}"
        return
    what = {OpKind.CREATE: "", OpKind.DELETE: "  delete", OpKind.ARCHIVE: "  archive"}
    fields = operation.fields if operation.kind is OpKind.CREATE else operation.before
    known = [n for n in view.sorted(fields) if fields[n] is not None][:_SAID]
    said = ", ".join(f"{n} {shown(fields[n], private=n in view.private)}" for n in known)
    reasons = sorted(set(operation.reasons.values()))
    why = f"  ({'; '.join(map(plain, reasons))})" if reasons else ""
    yield f"{sign} {way}{what[operation.kind]}  {said}{why}{held}"


def plan_lines(operations: Sequence[PlannedOperation], view: View, *, every: bool) -> list[str]:
    """The plan; unless `every`, the first few changes, and all deletions."""
    ordered = order(operations)
    last = [p for p in ordered if p.operation.kind in (OpKind.DELETE, OpKind.ARCHIVE)]
    rest = ordered[: len(ordered) - len(last)]
    few = rest if every else rest[:_FEW]
    lines = [line for planned in few for line in operation_lines(planned, view)]
    if len(few) < len(rest):
        lines.append(f"  … {len(rest) - len(few):,} more changes; -v shows them all")
    return [*lines, *(line for planned in last for line in operation_lines(planned, view))]


def opened_lines(report: RunReport, view: View, *, every: bool) -> list[str]:
    """`! crm 17 ↔ erp 104  name  Ann ↔ Anna  (conflict: several edits)`, a line for each field."""
    shows = report.opens if every else report.opens[:_FEW]
    lines = [line for opened in shows for line in case_lines(opened.case, view)]
    if len(shows) < len(report.opens):
        lines.append(f"  … {len(report.opens) - len(shows):,} more conflicts; -v shows them all")
    return lines


def case_lines(case: Case, view: View) -> Iterator[str]:
    found = case.candidates
    who = " ↔ ".join(plain(f"{c.source} {keys.show(c.key)}" if c.key else c.source) for c in found)
    why = f"(conflict: {plain(case.reason)})"
    if not case.fields:
        yield f"! {who}  {why}"
    for name in view.sorted(case.fields):
        hidden = name in view.private
        values = [
            "(deleted)" if c.values is None else shown(c.values.get(name, UNSET), private=hidden)
            for c in found
        ]
        yield f"! {who}  {plain(name)}  {' ↔ '.join(values)}  {why}"


def member_line(report: RunReport, member: MemberReport, width: int) -> str:
    """`erp  +12 ~340 -2  3 conflicts`: what was done there, or what would be."""
    if report.state is RunState.PLANNED:
        create, update, delete = (
            member.planned.get("create", 0),
            member.planned.get("update", 0),
            member.planned.get("delete", 0) + member.planned.get("archive", 0),
        )
    else:
        create, update, delete = member.created, member.updated, member.deleted
    extra = [
        number(report.conflicts, "conflict") if report.conflicts else "",
        f"{member.held:,} held" if member.held else "",
        f"{member.rejected:,} refused" if member.rejected else "",
        f"{member.stale:,} moved meanwhile" if member.stale else "",
        f"{member.unknown:,} outcome unknown" if member.unknown else "",
        _FAILED.get(member.failed, ""),
    ]
    said = ", ".join(part for part in extra if part)
    line = f"{plain(member.name):<{width}}  +{create:,} ~{update:,} -{delete:,}"
    return f"{line}  {said}" if said else line


def report_lines(report: RunReport, view: View, *, verbose: bool) -> list[str]:
    """One flow's run. The plan itself stands there for a dry run, or when asked for."""
    lines = [f"{plain(report.flow)}: {headline(report)}"]
    if report.state is RunState.PLANNED or verbose:
        lines += [f"  {line}" for line in plan_lines(report.operations, view, every=verbose)]
    if report.state is RunState.PLANNED:
        lines += [f"  {line}" for line in opened_lines(report, view, every=verbose)]
    width = max((len(name) for name in report.members), default=0)
    lines += [f"  {member_line(report, m, width)}" for m in report.members.values()]
    for level, text in report.messages:
        sign = "! " if level in ("warning", "error") else ""
        if sign or verbose:
            lines.append(f"  {sign}{plain(text)}")
    return lines


def headline(report: RunReport) -> str:
    match report.state:
        case RunState.PLANNED:
            total = sum(sum(m.planned.values()) for m in report.members.values())
            more = [
                number(report.conflicts, "conflict") if report.conflicts else "",
                number(report.holds, "hold") if report.holds else "",
            ]
            said = ", ".join([number(total, "operation"), *filter(None, more)])
            return f"plan of {said}; nothing was changed"
        case RunState.FAILED:
            return "failed"
        case RunState.INTERRUPTED:
            return "stopped; the next run goes on from here"
    left = any(m.held or m.rejected or m.stale or m.unknown for m in report.members.values())
    nothing = "nothing changed" if left else "nothing to do"
    done = number(report.changes, "change") if report.changes else nothing
    more = [done]
    if report.linked:
        more.append(f"{report.linked:,} linked")
    if report.pending:
        more.append(f"{report.pending:,} pending")
    if report.state is RunState.NEEDS_PERSON:
        more.append("a person is needed")
    return ", ".join(more) + f"  ({report.seconds:.1f} s)"


def next_steps(reports: Sequence[RunReport]) -> list[str]:
    """What to type now, for what was left open."""
    steps = []
    reports = [r for r in reports if r.state is not RunState.PLANNED]  # nothing stands open yet
    if any(r.conflicts for r in reports):
        steps.append("syncd conflicts list")
    if any(r.holds for r in reports):
        steps.append("syncd holds list")
    if any(r.quarantined for r in reports):
        steps.append("syncd quarantine list")
    return [f"next: {', '.join(steps)}"] if steps else []


# --- JSON ----------------------------------------------------------------------------------


def operation_json(planned: PlannedOperation, private: Collection[str]) -> dict[str, Any]:
    operation = planned.operation
    names = sorted({*operation.fields, *operation.before})
    if operation.kind is OpKind.UPDATE:
        names = sorted(operation.fields)
    return {
        "member": operation.member,
        "operation": operation.kind.value,
        "key": None if operation.key is None else keys.show(operation.key),
        "cause": operation.cause,
        "fields": {name: _field_json(operation, name, private) for name in names},
        "held": planned.held,
        "digest": planned.digest,
    }


def case_json(case: Case, private: Collection[str]) -> dict[str, Any]:
    return {
        "kind": case.kind.value,
        "member": case.member,
        "fields": list(case.fields),
        "reason": case.reason,
        "candidates": [
            {
                "source": one.source,
                "key": keys.show(one.key) if one.key else None,
                "values": None if one.values is None else masked(one.values, private),
                "deleted": one.values is None,
                "at": one.at,
            }
            for one in case.candidates
        ],
        "digest": case.digest,
    }


def _field_json(operation: Operation, name: str, private: Collection[str]) -> dict[str, Value]:
    before = masked({name: operation.before.get(name)}, private)[name]
    facts = {"before": before, "after": None, "reason": operation.reasons.get(name, "")}
    if name in operation.fields:
        facts["after"] = masked({name: operation.fields[name]}, private)[name]
    return facts


def report_json(
    report: RunReport, private: Collection[str], exit_code: int | None = None
) -> dict[str, Any]:
    return {
        "flow": report.flow,
        "run": report.run,
        "mode": report.mode.value,
        "state": report.state.value,
        "exit": report.exit_code if exit_code is None else exit_code,
        "seconds": round(report.seconds, 3),
        "linked": report.linked,
        "conflicts": report.conflicts,
        "holds": report.holds,
        "quarantined": report.quarantined,
        "pending": report.pending,
        "unknown": report.unknown,
        "members": [_member_json(member) for member in report.members.values()],
        "messages": [{"level": level, "text": text} for level, text in report.messages],
        "operations": [operation_json(p, private) for p in order(report.operations)],
        "opens": [
            {"entity": opened.entity, **case_json(opened.case, private)} for opened in report.opens
        ],
        "moved": list(report.moved),
    }


def _member_json(member: MemberReport) -> dict[str, Any]:
    failed = {"code": member.code, "message": member.error, "hint": member.hint}
    return {
        "name": member.name,
        "system": member.system,
        "read": member.read,
        "changed": member.changed,
        "created": member.created,
        "updated": member.updated,
        "deleted": member.deleted,
        "stale": member.stale,
        "rejected": member.rejected,
        "unknown": member.unknown,
        "held": member.held,
        "planned": dict(member.planned),
        "error": failed if member.error else None,
    }


def _reason(operation: Operation, name: str) -> str:
    reason = operation.reasons.get(name, "")
    return f"  ({plain(reason)})" if reason else ""
