"""A course as a person reads it, and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from syncd.simulate.fields import Model
from syncd.simulate.objects import described, model_of
from syncd.simulate.own.course import Course, Example
from syncd.simulate.own.lives import is_crowd, script
from syncd.simulate.own.noted import Note
from syncd.simulate.own.promises import PROMISES, UNPLAYED

OFTEN = 0.1  # of the days on which a guard may stop what is ordinary
_SIGNS = {"held": "ok", "broken": "!!", "not played": "--"}

_ASKED: Mapping[str, str] = {
    "field": "edited at two members between two runs",
    "first-sight": "two values where both had one before",
    "drift": "changed where it has no say",
    "lossy": "edited at a member that keeps it cut or in a form of its own",
    "unproven": "edited while nothing proved what had been written",
    "invalid": "has a value that {member} does not take",
    "delete": "deletions that wait, or met an edit",
    "identity": "records of which the match rules do not say who is who",
    "same-entity": "two linked things whose keys came to meet",
    "duplicate": "one key at several records of a member",
    "reappeared": "deleted ids that are back",
}

_HINTS: Mapping[str, str] = {
    "hidden": "leave out a fold; or, where it is meant so: --accept {}",
    "gap": "give the table a code for it; or, where nobody there may enter it: --accept {}",
    "held": "a higher limit, or a person every day",
}

Path = tuple[str, ...]
Where = Callable[[Path], str]
"""Of a path in the config: its file and line."""


@dataclass(frozen=True, slots=True)
class Known:
    """Notes of one kind about one thing, together."""

    first: Note
    seed: int
    many: int


class Report:
    """where: of a path in the config; more: options that the same lives need again; accepted:
    fields of which somebody knows what is hidden or lacking there"""

    def __init__(
        self, course: Course, where: Where, more: str = "", accepted: Collection[str] = ()
    ) -> None:
        self.course, self._where, self._more = course, where, more
        self._accepted = set(accepted)
        self.edits = sum(lived.edits for lived in course.plain)
        self.notes = self._noted()
        self.states = self._states()

    @property
    def flow(self) -> str:
        return self.course.copy.name

    @property
    def look(self) -> bool:
        """Whether a person should."""
        return "broken" in self.states.values() or any(self._looks(n) for n in self.notes)

    def _states(self) -> dict[str, str]:
        broken = {_law(way): "broken" for way in self.course.broken()}
        if any(example.crash for example in self.course.examples):
            broken["I8"] = "broken"
        played = dict.fromkeys(PROMISES, "held" if self.course.lives else "not played")
        return {**played, **dict.fromkeys(UNPLAYED, "not played"), **broken}

    def _lives(self, law: str) -> int:
        if law == "I8":
            return sum(lived.crashes for lived in self.course.lives)
        return len(self.course.lives)

    def _broken(self, law: str) -> int:
        """Lives in which it was, in one way or another."""
        return sum(any(_law(way) == law for way in one.broken) for one in self.course.lives)

    def _noted(self) -> list[Known]:
        counted: Counter[Any] = Counter()
        first: dict[Any, tuple[int, Note]] = {}
        for lived in sorted(self.course.lives, key=lambda lived: lived.seed):
            for note in lived.notes:
                about = note.about
                counted[about] += 1
                if about not in first or (note.clear and not first[about][1].clear):
                    first[about] = lived.seed, note
        found = [Known(note, seed, counted[about]) for about, (seed, note) in first.items()]
        order = ("hidden", "gap", "held", "overruled", "conflict", "unreadable")
        return sorted(
            found, key=lambda known: (order.index(known.first.kind), -known.many, known.seed)
        )

    def _looks(self, known: Known) -> bool:
        if known.first.kind != "held":
            return known.first.look and not self._accepted.issuperset(known.first.fields)
        days = sum(1 for lived in self.course.plain if is_crowd(lived.seed))
        return known.many > OFTEN * days

    @property
    def vague(self) -> list[str]:
        """Fields of which the judge could not say whose edit a value is."""
        made = script(self.course.copy, 0)
        schemas = {name: described(made, name) for name in made.systems}
        model: Model = model_of(made, schemas)
        return [name for name, field in model.fields.items() if field.vague]

    # --- for programs

    def json(self) -> dict[str, Any]:
        course = self.course
        seeds = [lived.seed for lived in course.lives]
        return {
            "flow": self.flow,
            "lives": len(seeds),
            "plain": len(course.plain),
            "edits": course.edits,
            "runs": sum(lived.runs for lived in course.lives),
            "seeds": [min(seeds), max(seeds)] if seeds else [],
            "seconds": round(course.seconds, 3),
            "stopped": course.stopped,
            "assumed": list(course.copy.assumed),
            "warned": list(course.copy.warned),
            "unjudged": self.vague,
            "promises": [self._promise(law, state) for law, state in self.states.items()],
            "notes": [self._note(known) for known in self.notes],
        }

    def _promise(self, law: str, state: str) -> dict[str, Any]:
        examples = [one for one in self.course.examples if one.law == law]
        return {
            "promise": law,
            "text": PROMISES[law],
            "state": state,
            "lives": self._lives(law),
            "broken": self._broken(law),
            "examples": [self._example(example) for example in examples],
        }

    def _example(self, example: Example) -> dict[str, Any]:
        path = ("flows", self.flow, *example.path)
        return {
            "seed": example.seed,
            "text": example.text,
            "steps": list(example.steps),
            "swings": list(example.swings),
            "ending": list(example.ending),
            "path": ".".join(path),
            "where": self._where(path),
            "hint": _hint(example),
        }

    def _note(self, known: Known) -> dict[str, Any]:
        note = known.first
        path = ("flows", self.flow, *_path(note))
        return {
            "kind": note.kind,
            "what": note.what,
            "fields": list(note.fields),
            "member": note.member,
            "look": self._looks(known),
            "count": known.many,
            "per_thousand": round(1000 * known.many / self.edits, 1) if self.edits else 0.0,
            "text": self._words(known),
            "seed": known.seed,
            "example": list(note.example),
            "path": ".".join(path),
            "where": self._where(path),
            "hint": _advice(note) if self._looks(known) else "",
        }

    # --- for people

    def lines(self, verbose: bool) -> list[str]:
        """verbose: with an example of each note."""
        course = self.course
        seeds = [lived.seed for lived in course.lives]
        span = f"seeds {min(seeds)}..{max(seeds)}" if seeds else "no seed"
        runs = sum(lived.runs for lived in course.lives)
        head = (
            f"{self.flow}: {len(seeds):,} lives, {course.edits:,} edits, {runs:,} runs"
            f" ({span}, {course.seconds:.0f} s)"
        )
        told = [head + ("; stopped before the end" if course.stopped else "")]
        for law, state in self.states.items():
            if law != "error" or state == "broken":
                told += self._told(law, state)
        if self.vague:
            fields = ", ".join(self.vague)
            told.append(
                f"note {fields}: too few values to tell whose edit one is; judged is only that all"
                " sides become equal"
            )
        told += [f"note {text}" for text in (*course.copy.assumed, *course.copy.warned)]
        return told + self._worth(verbose)

    def _told(self, law: str, state: str) -> list[str]:
        sign, text = _SIGNS[state], PROMISES[law]
        if state == "not played":
            return [f"{sign:<4} {law:<4} {text}: {UNPLAYED.get(law, 'no life was played')}"]
        lives = self._lives(law)
        if state == "held":
            return [f"{sign:<4} {law:<4} {text}: held in {lives:,} lives"]
        if law == "I8":
            return [f"{sign:<4} {law:<4} {text}: see those whose story needs one"]
        many, all_ = self._broken(law), len(self.course.lives)
        told = [f"{sign:<4} {law:<4} {text}: broken in {many:,} of {all_:,} lives"]
        for example in self.course.examples:
            if example.law == law:
                told += self._story(example)
        return told

    def _story(self, example: Example) -> list[str]:
        told = [f"       {number}. {step}" for number, step in enumerate(example.steps, 1)]
        told += [f"       again and again: {swing}" for swing in example.swings]
        if example.ending:
            told.append(f"       in the end: {'; '.join(example.ending)}")
        path = ("flows", self.flow, *example.path)
        told.append(f"       → look at {self._where(path)} ({'.'.join(path)})")
        told += [f"       → {hint}" for hint in [_hint(example)] if hint]
        again = f"syncd simulate {self.flow} --seeds {example.seed}..{example.seed}{self._more}"
        return [*told, f"       → the same again: {again}"]

    def _worth(self, verbose: bool) -> list[str]:
        told = []
        for known in self.notes:
            looks = self._looks(known)
            told.append(f"{'!' if looks else 'note':<4} {self._words(known)}")
            if looks or verbose:
                told += [f"       {line}" for line in known.first.example]
            if looks:
                path = ("flows", self.flow, *_path(known.first))
                told.append(f"       → look at {self._where(path)} ({'.'.join(path)})")
                told.append(f"       → {_advice(known.first)}")
        asked = sum(known.many for known in self.notes if known.first.kind == "conflict")
        if asked and self.edits:
            told.append(
                f"note in all {asked:,} questions to a person, {1000 * asked / self.edits:.0f} for"
                " 1,000 edits (people here edit the same few records all day; look at which fields,"
                " not at how many)"
            )
        return told

    def _words(self, known: Known) -> str:
        note, many = known.first, f"{known.many:,} of {self.edits:,} edits"
        about = f"{', '.join(note.fields)}: " if note.fields else ""
        match note.kind:
            case "hidden" if note.look:
                text = f"{many} are hidden by {note.what}: what was entered goes nowhere"
            case "hidden":
                text = f"{many} change the spelling alone, and stay where they were made"
                text += f" ({note.what})"
            case "gap":
                text = f"{many} gave a value for which the table of {note.member} has no code"
            case "held":
                text = f"{number(known.many, 'time')} a guard held {note.what} caused by"
                text += f" {note.member}, on days on which a quarter of the records was edited"
            case "overruled":
                text = f"{many} lost by {note.what}: the audit has them, and nobody was asked"
            case "unreadable":
                text = f"{many} at {note.member} gave a value that the field's type does not hold:"
                text += " such a record is set aside"
            case _:
                asked = _ASKED.get(note.what, note.what).format(member=note.member)
                text = f"{number(known.many, 'question')} to a person: {asked}"
        return about + text


def _hint(example: Example) -> str:
    if example.swings:
        return "a fold that makes both forms the same, an owner for the field, or one habit less"
    return ""


def _advice(note: Note) -> str:
    return _HINTS[note.kind].format(", ".join(note.fields))


def _law(way: str) -> str:
    return way.partition(" ")[0]


def number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _path(note: Note) -> Path:
    """Below the flow's table, where what the note says comes from."""
    if note.kind == "held":
        return ("guard",)
    if note.kind == "gap":
        return ("members", note.member, "fields", note.fields[0])
    if note.fields:
        return ("fields", note.fields[0])
    return {"delete": ("deletes",), "reappeared": ("grace",)}.get(note.what, ("match",))
