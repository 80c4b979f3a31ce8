"""Worlds and flows in a few lines, for a person who reads a failure."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.core.model import UNSET, Base, Entity, EntityPlan, Read
from syncd.core.rules import FlowRules


def flow(rules: FlowRules) -> str:
    members = [
        f"  {m.name}: {m.mode.value}"
        + (f" reads -{sorted(set(rules.fields) - m.reads)}" if set(rules.fields) - m.reads else "")
        + (f" writes -{sorted(m.reads - m.writes)}" if m.reads - m.writes else "")
        for m in rules.members.values()
    ]
    fields = []
    for f in rules.fields.values():
        text = [f"owner={f.owner}"] if f.owner else []
        text += ["fill"] * f.fill + ["lossy"] * f.lossy
        text += [f"conflict={[str(p) for p in f.conflict]}"] if f.conflict else []
        text += [f"first={[str(p) for p in f.first]}"] if f.first else []
        fields.append(f"  {f.name}: {' '.join(text)}")
    head = (
        f"drift={rules.drift.value} tolerance={rules.tolerance} deletes={rules.deletes.value}"
        f" from={rules.deletes_from} all={rules.deletes_all} conflict={rules.delete_conflict.value}"
    )
    return "\n".join([head, *members, *fields])


def base(b: Base) -> str:
    text = f"{b.value!r}@{b.seq}"
    if b.unproven:
        text += " unproven"
    if b.sent is not UNSET:
        text += f" sent={b.sent!r}" + f" with {b.beside}" * bool(b.beside)
    if b.seen is not UNSET:
        text += f" seen={b.seen!r}"
    return text


def entity(e: Entity, reads: Mapping[str, Read] | None = None) -> str:
    lines = [f"entity {e.id} {e.state.value} unsettled={dict(e.unsettled)}"]
    for name, agreed in e.agreed.items():
        origin = agreed.origin
        lines.append(
            f"  {name} agreed {agreed.value!r}@{agreed.seq} of {origin.member} {origin.at}"
        )
    for link in e.links.values():
        held = {n: base(b) for n, b in link.bases.items()}
        lines.append(
            f"  link {link.key} {link.state.value} {held} version={link.version}"
            f" own={link.own_time} edited={link.edited} moved={link.moved_tick}"
        )
    lines += [f"  gone {g.member} {g.key}" for g in e.gone]
    for member, read in (reads or {}).items():
        text = f"  read {member} {read.status.value} tick={read.tick}"
        if read.record is not None:
            text += f" {dict(read.record.fields)} v={read.record.version} {read.record.modified}"
        lines.append(text)
    return "\n".join(lines)


def plan(p: EntityPlan) -> str:
    lines = [entity(p.entity)]
    for o in p.operations:
        lines.append(f"  op {o.kind.value} {o.member} {dict(o.fields)} expect {dict(o.expect)}")
    for c in p.cases:
        shown = [(x.source, dict(x.values) if x.values is not None else None) for x in c.candidates]
        lines.append(f"  case {c.kind.value} {c.fields} {shown} {c.reason}")
    lines += [f"  note {n.kind.value} {n.member} {dict(n.values)} {n.text}" for n in p.notes]
    return "\n".join([*lines, f"  waits={p.waits} changed={p.changed}"])
