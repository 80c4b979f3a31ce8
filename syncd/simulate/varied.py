"""Flows of every type: what a varied life has in the place of the five fields of a plain one.

Policies, systems and faults are those of any life; here its fields are drawn, where each member
keeps them, what records are known by, and what else a config may say of all that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syncd.adapter import Column, ObjectSchema
from syncd.simulate.clock import Chance
from syncd.simulate.objects import SCHEMA
from syncd.simulate.script import Traits
from syncd.simulate.sorts import CODE, CURRENCY, EMAIL, PHONE, SORTS, Home, Sort

_RULES: Sequence[tuple[tuple[Sort, ...], list[Any]]] = (
    ((EMAIL,), ["email"]),
    ((EMAIL,), ["email"]),
    ((EMAIL, PHONE), ["email", "phone"]),
    ((EMAIL, PHONE), [["email", "phone"]]),
    ((EMAIL, CODE), ["code", "email"]),
    ((EMAIL, CODE), [["code", "email"], "email"]),
)
_MARKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "version": ("rev", {"family": "integer"}),
    "modified": ("changed", {"family": "datetime", "zoned": True}),
    "created": ("born_on", {"family": "integer"}),
    "cursor": ("changed", {"family": "datetime", "zoned": True}),
    "soft_delete": ("gone", {"family": "boolean"}),
}
_WORD = re.compile(r"\w+")
FEWEST, MOST = 4, 8  # fields beside those that records are known by


@dataclass(frozen=True, slots=True)
class Drawn:
    systems: dict[str, Traits]
    flow: dict[str, Any]
    objects: dict[str, Any]
    habits: dict[str, dict[str, str]]


def varied(chance: Chance, plain: Mapping[str, Any], systems: Mapping[str, Traits]) -> Drawn:
    """plain: a flow whose policies stay."""
    keys, match = chance.choice(_RULES)
    many = chance.randrange(FEWEST, MOST + 1)
    sorts = [*keys, *chance.sample(SORTS, many)]
    flow = {**plain, "match": match}
    fields = {sort.name: dict(chance.choice(sort.said)) for sort in sorts}
    if "price" in fields and chance.random() < 0.7:
        sorts.append(CURRENCY)
        fields["currency"] = dict(chance.choice(CURRENCY.said))
        flow["groups"] = [["price", "currency"]]
    flow["fields"] = fields
    members, objects, made = {}, {}, {}
    needed: dict[tuple[str, str], str] = {}  # columns, by member and field
    for name, traits in systems.items():
        member = _Member(chance, name, dict(plain["members"][name]))
        for sort in sorts:
            if sort in keys or sort is CURRENCY or sort.name == "price" or chance.random() < 0.9:
                member.keeps(sort, fields[sort.name])
        members[name], objects[name], made[name] = member.done(traits)
        needed |= {(name, field): column for field, column in member.needed.items()}
    flow["members"] = members
    _reached(flow)
    for (name, field), column in needed.items():
        if field not in flow["fields"]:  # nobody could make a record there
            objects[name]["columns"][column]["nullable"] = True
    _ruled(chance, flow, needed)
    return Drawn(made, flow, objects, _habits(chance, flow))


def _habits(chance: Chance, flow: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """At one member an automation rewrites a text that we map (F30). Two of them would fight, and
    so would one whose member has no say in the field: nothing parks a fight yet."""
    member = chance.choice(list(flow["members"]))
    table = flow["members"][member]
    places = table["fields"]
    texts = [
        places[name]
        for name in spare(flow)
        if flow["fields"][name]["type"].startswith("text") and isinstance(places.get(name), str)
        if flow["fields"][name].get("owner") in (None, member) and table.get("mode") != "target"
    ]
    if not texts or chance.random() > 0.4:
        return {}
    return {member: {chance.choice(texts): chance.choice(("upper", "lower", "title", "trim"))}}


class _Member:
    """One member's table and its object, as they come to be."""

    def __init__(self, chance: Chance, name: str, table: dict[str, Any]) -> None:
        self._chance, self.name, self.table = chance, name, table
        self.prefix = chance.choice(("", "", "c_"))
        self.fields: dict[str, Any] = {}
        self.columns: dict[str, Column] = {}
        self.texts: list[str] = []  # columns that a system may tidy
        self.needed: dict[str, str] = {}  # by field, the column that no record does without

    def keeps(self, sort: Sort, said: Mapping[str, Any]) -> None:
        home = self._chance.choice([home for home in sort.homes if _fits(home, said)])
        names = [f"{self.prefix}{sort.name}{at or ''}" for at in range(home.many)]
        # a column that takes no null: users put the empty text there, and so must syncd
        strict = sort.is_text and said.get("null") == "empty" and self._chance.random() < 0.4
        # one that must be filled, and nobody does it for you: what lacks it is refused (F50)
        needed = not strict and home.many == 1 and self._chance.random() < 0.06
        if needed:
            self.needed[sort.name] = names[0]
        for name in names:
            more = {"nullable": False, "default": strict} if strict or needed else {}
            self.columns[name] = _column(name, {**home.column, **more})
        place = {**home.place, "native": names if home.many > 1 else names[0]}
        self.fields[sort.name] = place if home.place else names[0]
        if sort.is_text and home.many == 1 and home.column["family"] == "text":
            self.texts.append(names[0])

    def done(self, traits: Traits) -> tuple[dict[str, Any], dict[str, Any], Traits]:
        table = {**self.table, "fields": self.fields}
        key = Column("id", "text" if traits.text_keys else "integer", "", nullable=False)
        columns = {"id": replace(key, family=key.type)}
        for option, (name, said) in _MARKS.items():
            if option in table:
                table[option] = name
                columns[name] = _column(name, said)
        email = f"{self.prefix}email"
        unique = (email,) if traits.unique else ()
        shapes = {}
        if traits.shapes:
            shapes[self._chance.choice(self.texts)] = self._chance.choice(("trim", "lower"))
        schema = ObjectSchema(
            "people", {**columns, **self.columns}, ("id",), generated=True,
            unique=(unique,) if unique else (),
        )  # fmt: skip
        said = SCHEMA.dump_python(schema, mode="json")
        return table, said, replace(traits, unique=unique, shapes=shapes)


def _column(name: str, said: Mapping[str, Any]) -> Column:
    more = {**said, "choices": tuple(said.get("choices", ()))}
    return Column(name, said["family"], **more)


def _fits(home: Home, said: Mapping[str, Any]) -> bool:
    """A number that is kept as text elsewhere is one here; the places of both are the same."""
    if home.column.get("scale") == 3 and said["type"] == "decimal(12,2)":
        return bool(home.column["digits"] >= 12)
    return True


def _reaches(flow: Mapping[str, Any], name: str, but: str = "") -> bool:
    """Whether a field has where to come from and where to go, also without that member."""
    modes = [
        (said.get("mode", "both"), said["fields"][name])
        for member, said in flow["members"].items()
        if member != but and name in said["fields"]
    ]
    sources = [mode for mode, _ in modes if mode != "target"]
    written = [mode for mode, place in modes if mode != "source" and not _is_read_only(place)]
    return len(modes) > 1 and bool(sources) and bool(written)


def _is_read_only(place: Any) -> bool:
    return isinstance(place, Mapping) and bool(place.get("read_only"))


def does_without(flow: Mapping[str, Any], member: str) -> bool:
    """Whether the config holds without that member, too."""
    for name, said in flow["fields"].items():
        named = f"{said.get('owner')} {said.get('conflict')} {said.get('first')}"
        if member in _WORD.findall(named) or not _reaches(flow, name, member):
            return False
    return True


def known_by(flow: Mapping[str, Any]) -> set[str]:
    """Fields of match rules."""
    rules = flow["match"]
    return {name for rule in rules for name in ([rule] if isinstance(rule, str) else rule)}


def spare(flow: Mapping[str, Any]) -> list[str]:
    """Fields that may as well come later."""
    needed = known_by(flow).union(*flow.get("groups", ()))
    return [name for name in flow["fields"] if name not in needed]


def types(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Changes of a type that leave its values what they are, and that every column takes."""
    wider = {
        "name": {"type": "text(200)"},
        "active": {"null": "empty"},
        "price": {"type": f"decimal(15,{flow['fields'].get('price', {}).get('type', '2)')[-2]})"},
        "picture": {"limit": 9000},
    }
    return [{"fields": {name: said}} for name, said in wider.items() if name in flow["fields"]]


def _reached(flow: dict[str, Any]) -> None:
    """Of a field that one member alone has, nothing could be kept equal."""
    for name in [name for name in flow["fields"] if not _reaches(flow, name)]:
        del flow["fields"][name]
        for said in flow["members"].values():
            said["fields"].pop(name, None)


def _ruled(chance: Chance, flow: dict[str, Any], needed: Collection[tuple[str, str]]) -> None:
    """What a config may say of its fields, each now and then."""
    names, members = list(flow["members"]), flow["members"]
    free = set(spare(flow))
    for name, said in flow["fields"].items():
        having = [m for m in names if name in members[m]["fields"]]
        sources = [m for m in having if members[m].get("mode") != "target"]
        targets = [m for m in having if members[m].get("mode") != "source"]
        what = chance.random() if name in free else 1.0
        if said["type"] == "set" and chance.random() < 0.6:
            said["conflict"] = "merge"
        elif what < 0.12 and set(targets) - {sources[0]}:
            said["owner"] = sources[0]
        elif what < 0.2:
            said["fill"] = True
        elif what < 0.35:
            said["conflict"] = chance.choice(
                (["newest", "review"], f"prefer:{having[0]}", [f"prefer:{having[-1]}", "newest"])
            )
        elif what < 0.42:
            said["first"] = chance.choice(("review", "newest", f"prefer:{having[-1]}"))
        elif what < 0.47 and len(targets) > 1 and (targets[-1], name) not in needed:
            _read_only(members[targets[-1]]["fields"], name)
        if chance.random() < 0.15:
            said["private"] = True
        if chance.random() < 0.2:
            said["lossy"] = "accept"
    if len(flow["match"]) > 1 and "phone" in flow["fields"] and chance.random() < 0.3:
        flow["fields"]["phone"]["exclusive"] = True
    if len(flow["match"]) > 1 and chance.random() < 0.5:
        flow["bridge"] = "accept"
    _guarded(chance, flow)


def _read_only(fields: dict[str, Any], name: str) -> None:
    place = fields[name]
    table = dict(place) if isinstance(place, Mapping) else {"native": place}
    fields[name] = {**table, "read_only": True}


def _guarded(chance: Chance, flow: dict[str, Any]) -> None:
    if chance.random() < 0.25:
        kind = chance.choice(("creates", "blankings", "first_sight", "rebases"))
        flow["guard"] = {**flow["guard"], kind: chance.choice((1, 3))}
    if chance.random() < 0.1:
        flow["guard"] = {**flow["guard"], "deletes": "40%", "updates": "60%", "floor": 2}
