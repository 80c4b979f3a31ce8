"""The people who use the systems, and the automations there that act by themselves."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from syncd.simulate.odd import odd, respelled
from syncd.simulate.script import Event
from syncd.simulate.table import Refusal, Row, Table

if TYPE_CHECKING:
    from syncd.simulate.world import World

AUTOMATION = "automation"  # detail of what no person did
_LONG = 300  # characters of a long text where nothing limits it
_HABITS: Mapping[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "trim": str.strip,
}


class People:
    """What the script says is due, they do, if the system lets them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens = 0
        self._deleted: dict[tuple[str, int], Row] = {}
        self._touched: list[tuple[str, int]] = []  # records that an automation looks at next

    def act(self, event: Event) -> None:
        table = self._world.tables[event.member]
        row = next((r for r in table.live() if r.person == event.person), None)
        now = self._world.seconds()
        try:
            if event.kind == "add" and row is None:
                self._add(table, event)
            elif event.kind == "edit" and row is not None:
                self._edit(table, row, event)
            elif event.kind == "merge" and row is not None:
                self._merge(table, row)
            elif event.kind == "delete" and row is not None:
                self._deleted[table.name, row.person] = row
                table.delete(row.number, now)
                self._did("delete", table, row, None)
            elif event.kind == "restore" and row is None:
                before = self._deleted.get((table.name, event.person))
                if before is not None and not _occupied(table, before):
                    self._did("restore", table, None, table.restore(before, now))
        except Refusal:
            pass

    def _add(self, table: Table, event: Event) -> None:
        """how: "p3." where it is entered under what another person is known by; "alike" where it
        is entered with what stands elsewhere."""
        number, model = event.person, self._world.model
        alias = int(event.how[1:-1]) if event.how.startswith("p") else number
        natives: dict[str, Any] = {"memo": f"m{number}"} if "memo" in table.blank else {}
        for name, field in model.fields.items():
            if name not in model.places[table.name]:
                continue
            value = field.own(alias) if field.key else self._fresh(table, number, name)
            if event.how == "alike" and not field.key:
                value = self._elsewhere(table, number, name, value)
            natives.update(self._entered(table, name, value))
        row = table.insert(natives, self._world.seconds(), number)
        self._did("insert", table, None, row)

    def _merge(self, table: Table, row: Row) -> None:
        """Two records are found to be one (F47): this one gets what it lacks of the next, which
        goes."""
        others = [other for other in table.live() if other.number > row.number]
        if not others:
            return
        other, now = others[0], self._world.seconds()
        lacks = {
            column: value
            for column, value in other.values.items()
            if row.values[column] is None and value is not None and column != "stamp"
        }
        table.delete(other.number, now)
        self._deleted[table.name, other.person] = other
        self._did("delete", table, other, None)
        if lacks:
            self._did("update", table, row, table.update(row.number, lacks, now))

    def _edit(self, table: Table, row: Row, event: Event) -> None:
        name, model = event.name, self._world.model
        if name not in model.places[table.name]:
            return
        there = model.read(table.name, row.values)[name]
        place = model.places[table.name][name]
        natives: Mapping[str, Any] | None
        if event.how == "odd":
            natives = odd(place, self._world.users)
        elif event.how == "respelled":
            column = place.columns[0].name
            natives = {column: respelled(place, row.values[column])}
        else:
            natives = self._entered(table, name, self._edited(table, row, event, there))
        if natives is None:
            return
        after = table.update(row.number, natives, self._world.seconds())
        if model.read(table.name, after.values)[name] != there:
            self._world.trace.edits += 1
        self._did("update", table, row, after)

    def _edited(self, table: Table, row: Row, event: Event, there: Any) -> Any:
        name = event.name
        match event.how:
            case "new":
                return self._fresh(table, row.person, name, there)
            case "blank":
                return None
            case "back":
                return self._before(table, row, name, there)
            case "same":
                return self._elsewhere(table, row.person, name, there)
        if self._world.model.fields[name].kind.name != "text":
            return there if event.how == "spelling" else self._fresh(table, row.person, name, there)
        match event.how:
            case "spelling":
                return f" {there.swapcase()} " if isinstance(there, str) else there
            case "accent":
                return _accented(there or "")
            case "word":
                return f"{there or ''} (new)".lstrip()
        return self._long(table, row, name)

    def _before(self, table: Table, row: Row, name: str, there: Any) -> Any:
        """What stood there before it was edited the last time."""
        for h in reversed(self._world.trace.happenings):
            if (h.member, h.key) != (table.name, row.number) or not (h.before and h.after):
                continue
            if h.before[name] != there:
                return h.before[name]
        return there

    def _elsewhere(self, table: Table, person: int, name: str, there: Any) -> Any:
        """What another system has for the same person."""
        model = self._world.model
        for other in self._world.tables.values():
            if other is not table and name in model.places[other.name]:
                for row in other.live():
                    if row.person == person:
                        return model.read(other.name, row.values)[name]
        return there

    def _long(self, table: Table, row: Row, name: str) -> str:
        """As long as this system takes it."""
        model = self._world.model
        field, place = model.fields[name], model.places[table.name][name]
        limits = [field.kind.size, *(column.length for column in place.columns)]
        room = min((limit for limit in limits if limit is not None), default=_LONG)
        told = str(self._fresh(table, row.person, name))
        return told + "x" * (room - len(told))

    def _entered(self, table: Table, name: str, value: Any) -> dict[str, Any]:
        """The columns that a user fills in, to say this. Raises Refusal where there is no way."""
        try:
            return self._world.model.write(table.name, name, value)
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise Refusal(f"{name} cannot be {value!r} there") from error

    def _fresh(self, table: Table, person: int, name: str, before: Any = None) -> Any:
        """A value nobody gave before: it tells which edit it comes from."""
        self._tokens += 1
        model = self._world.model
        place = model.places[table.name][name]
        return model.fields[name].fresh(person, self._tokens, before, self._world.users, place)

    def _did(
        self, what: str, table: Table, before: Row | None, after: Row | None, detail: str = ""
    ) -> None:
        row = after or before
        assert row is not None
        self._world.tell(
            "user", what, table.name, row.number, row.person,
            before.values if before else None, after.values if after else None, detail=detail,
        )  # fmt: skip
        if after is not None and detail != AUTOMATION:
            self.wrote(table.name, row.number)

    # --- automations

    def wrote(self, member: str, number: int) -> None:
        """Something was written there: an automation will look at it."""
        if self._world.script.habits.get(member):
            self._touched.append((member, number))

    def habits(self) -> None:
        """Automations do what they do to every record that was written since."""
        touched, self._touched = self._touched, []
        for member, number in touched:
            table = self._world.tables[member]
            row = table.rows.get(number)
            if row is None or row.gone:
                continue
            moved = {}
            for column, how in self._world.script.habits[member].items():
                there = row.values.get(column)
                if isinstance(there, str) and _HABITS[how](there) != there:
                    moved[column] = _HABITS[how](there)
            if moved:
                try:
                    after = table.update(number, moved, self._world.seconds())
                except Refusal:
                    continue
                self._did("update", table, row, after, AUTOMATION)


def _occupied(table: Table, row: Row) -> bool:
    there = table.rows.get(row.number)
    return there is not None and not there.gone


def _accented(text: str) -> str:
    """The same letters, composed otherwise; an accent comes first where there is none."""
    for form in ("NFD", "NFC"):
        if (other := unicodedata.normalize(form, text)) != text:
            return other
    return f"{text} caf\u00e9".lstrip()
