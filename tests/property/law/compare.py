"""Does a plan say what the oracle says? Every function answers a list of complaints."""

from __future__ import annotations

from law.oracle import Question, Verdict, verdicts
from law.worlds import GROUPS, World
from syncd.core.model import CaseKind, EntityPlan, Operation, OpKind

MERGE_CASES = (CaseKind.FIELD, CaseKind.LOSSY, CaseKind.UNPROVEN, CaseKind.DRIFT, CaseKind.FIRST)


def disagreements(world: World, plan: EntityPlan) -> list[str]:
    """Complaints about every group for which no admissible verdict fits."""
    found = general(world, plan)
    for group in GROUPS:
        options = verdicts(world, group)
        answers = [against(world, group, option, plan) for option in options]
        if answers and all(answers):
            found += [f"{'/'.join(group)}: {text}" for text in min(answers, key=len)]
    return found


def updates(plan: EntityPlan) -> dict[str, Operation]:
    return {op.member: op for op in plan.operations if op.kind is OpKind.UPDATE}


def general(world: World, plan: EntityPlan) -> list[str]:
    """What holds of every plan, whatever the question (I5, I6, law 4, law 5)."""
    found = []
    if len(updates(plan)) != sum(op.kind is OpKind.UPDATE for op in plan.operations):
        found.append("two updates for one record")
    for op in plan.operations:
        rules = world.rules.members[op.member]
        read = world.reads.get(op.member)
        link = world.entity.links.get(op.member)
        if not rules.mode.is_target:
            found.append(f"I6: {op.kind} at {op.member}, which is no target")
        if not set(op.fields) <= rules.writes:
            found.append(f"I6: {op.member} gets {sorted(set(op.fields) - rules.writes)}")
        if op.kind is not OpKind.UPDATE:
            continue
        if link is None or read is None or read.status not in ("seen", "same"):
            found.append(f"law 5: {op.member} is written without having been read")
            continue
        if op.rebase:
            found.append(f"law 16: {op.member} counts as a rebase, and no mapping changed")
        if not op.fields or op.key != link.key:
            found.append(f"an update of {op.member} without fields or with another key")
        for name, value in op.fields.items():
            agreed = plan.entity.agreed[name]
            stands = read.record.fields[name] if read.record else link.bases[name].value
            recorded = plan.entity.links[op.member].bases[name]
            if value != agreed.value or op.seqs[name] != agreed.seq:
                found.append(f"{op.member}.{name}: {value!r} sent, agreed is {agreed}")
            if op.expect.get(name, "?") != stands:
                found.append(f"{op.member}.{name}: the precondition is not what was read")
            if recorded.seq >= agreed.seq and not (recorded.unproven or value == stands):
                found.append(f"law 5: base of {op.member}.{name} leads: {recorded}")
            if value == stands:
                found.append(f"I5: {op.member}.{name} holds exactly that already")
    for name, before in world.entity.agreed.items():
        after = plan.entity.agreed[name]
        if after.seq < before.seq or (after.seq == before.seq and after.value != before.value):
            found.append(f"{name}: agreed {before} became {after}")
    for member, link in plan.entity.links.items():
        for name, base in link.bases.items():
            if name in plan.entity.agreed and base.seq > plan.entity.agreed[name].seq:
                found.append(f"law 5: base of {member}.{name} leads the agreed sequence")
    return found


def against(world: World, group: tuple[str, ...], verdict: Verdict, plan: EntityPlan) -> list[str]:
    q, found = Question(world, group), []
    row = tuple(plan.entity.agreed[name].value for name in group)
    seq = max(plan.entity.agreed[name].seq for name in group)
    if not verdict.vague and q.fold(row) != q.fold(verdict.row):
        found.append(f"agreed {row}, by the law {verdict.row}")
    if verdict.moved != (seq > q.seq) and not verdict.vague:
        found.append(f"sequence {q.seq} -> {seq}, by the law moved={verdict.moved}")
    found += cases(q, group, verdict, plan)
    if verdict.vague:
        return found
    sent = updates(plan)
    for member in world.rules.members:
        got = set(sent[member].fields) & set(group) if member in sent else set()
        must = verdict.writes.get(member, set())
        may = must | verdict.may.get(member, set())
        if not must <= got <= may:
            found.append(f"{member} is sent {sorted(got)}, by the law {sorted(must)}")
    for member, wanted in verdict.bases.items():
        for name, (value, behind) in wanted.items():
            base = plan.entity.links[member].bases.get(name)
            compare = world.rules.fields[name].compare
            if base is None or compare(base.value) != compare(value):
                found.append(f"base of {member}.{name} is {base}, by the law {value!r}")
            elif behind is not None and behind != (base.seq < plan.entity.agreed[name].seq):
                found.append(f"base of {member}.{name} is {base}, by the law behind={behind}")
    return found


def cases(q: Question, group: tuple[str, ...], verdict: Verdict, plan: EntityPlan) -> list[str]:
    mine = [c for c in plan.cases if c.kind in MERGE_CASES and set(c.fields) & set(group)]
    if verdict.open is None:
        return [] if verdict.frozen else [f"a {c.kind} case: {c.candidates}" for c in mine]
    if len(mine) != 1:
        return [f"{len(mine)} cases open, by the law one of {sorted(map(str, verdict.open))}"]
    shown = {q.fold(tuple((c.values or {}).get(f) for f in group)) for c in mine[0].candidates}
    if shown != verdict.open:
        return [f"the case shows {shown}, by the law {set(verdict.open)}"]
    return []
