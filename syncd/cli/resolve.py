"""`syncd conflicts resolve`: a person's decision, recorded for the next run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice, product
from typing import Any

import click
import orjson
from sqlalchemy import Connection

from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result, plain, shown
from syncd.cli.records import acting, match_rules, parse_records
from syncd.config.fields import field_type
from syncd.config.problems import did_you_mean
from syncd.core import keys
from syncd.core.model import CaseKind, Choice, Value
from syncd.errors import ConfigError, Unrepresentable
from syncd.store import conflicts as stored
from syncd.store import identity, shadow
from syncd.store.cases import StoredCase
from syncd.store.identity import Act, Record

_WHO = (CaseKind.IDENTITY, CaseKind.SAME_ENTITY, CaseKind.DUPLICATE)
_WAYS = 4


def answers_to(case: StoredCase) -> list[str]:
    """What may be typed behind `conflicts resolve ID`."""
    if case.case.kind in _WHO:
        return [*(f"--link {_named(ones)}" for ones in _whole(case)), "--split"]
    if case.case.kind is CaseKind.REAPPEARED:
        return ["--keep", "--split"]
    if case.case.kind is CaseKind.DELETE:
        return ["--delete", "--keep", "--unlink"]
    if case.case.kind is CaseKind.INVALID:
        return [f"--value {name}=…" for name in case.case.fields]
    heard = [c for c in case.case.candidates if c.values is not None and c.heard]
    sources = [f"--take {c.source}" for c in heard]
    return [*dict.fromkeys(sources), *(f"--value {name}=…" for name in case.case.fields)]


def _whole(case: StoredCase) -> list[tuple[Record, ...]]:
    """What may be one entity: a record of each member, in every way while those are few."""
    of_member: dict[str, list[Record]] = {}
    for one in case.case.candidates:
        if one.key:
            of_member.setdefault(one.source, []).append((one.source, one.key))
    if len(of_member) < 2 or (
        case.case.kind is not CaseKind.IDENTITY and any(len(r) > 1 for r in of_member.values())
    ):
        return []  # two entities that both have a record there cannot become one
    return list(islice(product(*of_member.values()), _WAYS))


def _named(records: Sequence[Record]) -> str:
    return ",".join(f"{member}:{keys.show(key)}" for member, key in records)


@click.command(
    cls=Command,
    examples=(
        "syncd conflicts resolve 12 --take erp",
        "syncd conflicts resolve 12 --value credit=250.00 --by anna",
    ),
)
@click.argument("case_id", type=int, metavar="ID")
@click.option("--take", metavar="MEMBER|agreed", help="This candidate's values.")
@click.option("--value", "values", multiple=True, metavar="FIELD=VALUE", help="A value you type.")
@click.option("--null", "nulls", multiple=True, metavar="FIELD", help="No value.")
@click.option("--delete", "choice", flag_value="delete", help="Let the deletion travel.")
@click.option("--keep", "choice", flag_value="keep", help="The record lives on.")
@click.option("--unlink", "choice", flag_value="unlink", help="What is left goes its own ways.")
@click.option("--link", "links", multiple=True, metavar="MEMBER:ID,…", help="These are one.")
@click.option("--never", "choice", flag_value="never", help="None of these is another.")
@click.option("--split", "choice", flag_value="split", help="The same as --never.")
@click.option("--seen", metavar="DIGEST", help="Refuse if the conflict is not this one any more.")
@click.option("--by", metavar="NAME", help="Who decides; the user where nothing is said.")
@click.option("--note", default="", help="Why; kept with the decision.")
@pass_app
def resolve(
    app: App,
    case_id: int,
    take: str | None,
    values: tuple[str, ...],
    nulls: tuple[str, ...],
    choice: str | None,
    links: tuple[str, ...],
    seen: str | None,
    by: str | None,
    note: str,
) -> None:
    """Decide a conflict. The next run acts on it, unless its records change before: then the
    conflict is shown again."""
    said = [bool(take), bool(values or nulls), bool(choice), bool(links)]
    if sum(said) != 1:
        raise ConfigError(
            "say one thing: --take, --value, --delete, --keep, --unlink, --link or --split",
            code="SY0160",
            hint=f"syncd conflicts show {case_id} lists what fits",
        )
    by = by or app.user
    with app.store() as store:
        with store.read() as conn:
            case = _case(app, stored.case(conn, case_id), case_id, seen)
            flow = {number: name for name, number in shadow.flows(conn).items()}[case.flow]
            kind = case.case.kind
            if links:
                answer = stored.Answer(
                    Choice.LINK, by, keys=tuple(parse_records(conn, app, flow, links)), note=note
                )
            elif take:
                answer = stored.Answer(Choice.TAKE, by, source=take, note=note)
            elif choice:
                chosen = Choice.SPLIT if choice == "never" else Choice(choice)
                answer = stored.Answer(chosen, by, note=note)
            else:
                typed = _typed(app, flow, case, values, nulls)
                answer = stored.Answer(Choice.VALUE, by, values=typed, note=note)
            at_once = kind is CaseKind.SAME_ENTITY or _merges(conn, case, answer)
            _fits(case, answer, case_id)
            if links and not at_once:
                _one_each(conn, case, answer, case_id)
        if not at_once:
            with store.write() as conn:
                decision = stored.decide(conn, case_id, case.case.digest, answer, at=app.time())
                if answer.choice is Choice.SPLIT and kind in _WHO:
                    act = Act(conn, case.flow, match_rules(app, flow), by, app.time())
                    identity.never(act, _pairs(case))
    if at_once:
        _who_is_who(app, flow, case, answer, by)
        number = 0
    else:
        number = decision.id
    chosen_text = _said(app, flow, answer)
    lines = [
        f"conflict {case_id} of {plain(flow)} decided by {plain(by)}: {chosen_text}",
        f"next: syncd reconcile {plain(flow)}",
    ]
    data = {
        "id": case_id,
        "flow": flow,
        "decision": number,
        "choice": answer.choice.value,
        "source": answer.source,
        "by": by,
    }
    app.finish(Result("conflicts resolve", data, lines))


def _case(app: App, case: StoredCase | None, case_id: int, seen: str | None) -> StoredCase:
    if case is None:
        raise ConfigError(
            f"there is no conflict {case_id}", code="SY0192", hint="see `syncd conflicts list`"
        )
    if case.state == stored.CLOSED:
        raise ConfigError(
            f"conflict {case_id} is closed already",
            code="SY0193",
            hint="see `syncd conflicts list`",
        )
    if seen and not case.case.digest.startswith(seen):
        raise ConfigError(
            "its records changed since they were shown",
            code="SY0194",
            where=f"conflict {case_id}",
            hint=f"look again with `syncd conflicts show {case_id}`, then decide",
        )
    return case


def _fits(case: StoredCase, answer: stored.Answer, case_id: int) -> None:
    kind = case.case.kind
    fit: tuple[Choice, ...]
    if kind in _WHO:
        fit = (Choice.LINK, Choice.SPLIT)
    elif kind is CaseKind.REAPPEARED:
        fit = (Choice.KEEP, Choice.SPLIT)
    elif kind is CaseKind.DELETE:
        fit = (Choice.DELETE, Choice.KEEP, Choice.UNLINK)
    elif kind is CaseKind.INVALID:
        fit = (Choice.VALUE,)  # what is agreed is what the target cannot take
    else:
        fit = (Choice.TAKE, Choice.VALUE)
    strangers = set(answer.keys) - {(c.source, c.key) for c in case.case.candidates}
    if strangers and kind in _WHO:
        raise ConfigError(
            f"{_named(sorted(strangers))} is none of its records",
            code="SY0195",
            where=f"conflict {case_id}",
            hint="; ".join(answers_to(case)),
        )
    sources = [c.source for c in case.case.candidates if c.heard]
    wrong = answer.choice is Choice.TAKE and answer.source not in sources
    if answer.choice in fit and not wrong:
        return
    problem = f"`{answer.source}` is none of its candidates" if wrong else "that does not fit it"
    close = did_you_mean(answer.source or "", sources) if wrong and answer.source else ""
    raise ConfigError(
        f"{problem}; it is a conflict of kind {kind}",
        code="SY0195",
        where=f"conflict {case_id}",
        hint=close or "; ".join(answers_to(case)),
    )


def _one_each(conn: Connection, case: StoredCase, answer: stored.Answer, case_id: int) -> None:
    """An entity has one record a member; a decision for anything else could never be obeyed."""
    ids = {shadow.entity_of(conn, case.flow, *record) for record in answer.keys} - {None}
    linked = shadow.load_entities(conn, case.flow, sorted(one for one in ids if one is not None))
    records = {*answer.keys, *((m, k.key) for e in linked for m, k in e.links.items())}
    members = [member for member, _ in sorted(records)]
    twice = next((m for m in members if members.count(m) > 1), None)
    alone = len(records) < 2
    if twice is None and not alone:
        return
    both = sorted(record for record in records if record[0] == twice)
    raise ConfigError(
        f"{_named(sorted(records))} alone is nothing to link"
        if alone
        else f"{_named(both)} cannot be one: an entity has one record of {twice}",
        code="SY0195",
        where=f"conflict {case_id}",
        hint="; ".join(answers_to(case)),
    )


def _typed(
    app: App, flow: str, case: StoredCase, values: Sequence[str], nulls: Sequence[str]
) -> dict[str, Value]:
    """Values as their fields' types read them."""
    fields = app.flow(flow).fields
    found: dict[str, Value] = {}
    for word in (*values, *nulls):
        name, equals, text = word.partition("=")
        if name not in case.case.fields or name not in fields:
            raise ConfigError(
                f"`{name}` is not a field of this conflict",
                code="SY0160",
                hint=did_you_mean(name, case.case.fields),
            )
        if word in nulls:
            found[name] = None
            continue
        if not equals:
            raise ConfigError("--value takes FIELD=VALUE", code="SY0160")
        made = field_type(fields[name])
        native: Any = text
        if made.kind in ("set", "list", "json"):
            try:
                native = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise ConfigError(
                    f"`{name}` is a {made.kind}; write it as JSON",
                    code="SY0160",
                    hint=f'--value \'{name}=["a", "b"]\'',
                ) from None
        try:
            found[name] = made.canon(native)
        except Unrepresentable as error:
            why = "the value does not fit" if fields[name].private else error.message
            raise ConfigError(
                f"`{name}` is {made.text}: {why}", code="SY0160", hint=error.hint
            ) from None
    return found


def _pairs(case: StoredCase) -> set[identity.Pair]:
    records = {(c.source, c.key) for c in case.case.candidates if c.key}
    return {frozenset(pair) for pair in combinations(sorted(records), 2)}


def _merges(conn: Connection, case: StoredCase, answer: stored.Answer) -> bool:
    """Whether the records belong to several entities already: that is no matter for linking."""
    found = {shadow.entity_of(conn, case.flow, *record) for record in answer.keys}
    return len(found - {None}) > 1


def _who_is_who(app: App, flow: str, case: StoredCase, answer: stored.Answer, by: str) -> None:
    """Entities whose keys met: merged now, or told apart for good."""
    with acting(app, flow, by) as act:
        records: list[Record] = [(c.source, c.key) for c in case.case.candidates if c.key]
        if answer.choice is Choice.LINK:
            identity.join(act, list(answer.keys) or records)
        else:
            linked = {r: shadow.entity_of(act.conn, act.flow, *r) for r in records}
            apart = {
                frozenset((a, b)) for a, b in combinations(records, 2) if linked[a] != linked[b]
            }
            identity.never(act, apart)
        identity.close(act, case.id)


def _said(app: App, flow: str, answer: stored.Answer) -> str:
    fields = app.flow(flow).fields
    if answer.choice is Choice.TAKE:
        return f"take {plain(answer.source)}"
    if answer.choice is Choice.VALUE:
        return ", ".join(
            f"{plain(name)} = {shown(value, private=fields[name].private)}"
            for name, value in answer.values.items()
        )
    if answer.choice is Choice.LINK:
        return "link " + ", ".join(f"{m}:{keys.show(k)}" for m, k in answer.keys)
    return answer.choice.value
