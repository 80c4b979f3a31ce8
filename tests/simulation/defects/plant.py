"""Planted defects: small, plausible mistakes, each switched on by a test and by nothing else.

A defect is a function that stands in for one of the program's own. It is handed that one first,
then what it was called with:

    @defect("I2", (journal, "mark_sent"))
    def sent_unmarked(mark_sent, conn, ids, **said): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from syncd.simulate.script import Script

Place = tuple[Any, str]  # a module or a class, and the name there

DEFECTS: dict[str, Defect] = {}


@dataclass(frozen=True, slots=True)
class Defect:
    """law    the invariant that it breaks
    equal  the sides end equal in the life that shows it: looking at them alone would not
    may    whether it can do anything in this life; the search leaves out the others
    stands_in  by place, what is there while the defect is planted
    """

    name: str
    what: str
    law: str
    equal: bool
    may: Callable[[Script], bool]
    stands_in: tuple[tuple[Place, Callable[..., Any]], ...]

    @property
    def pure(self) -> bool:
        """It stands in for functions of the core, which do nothing but answer."""
        for (where, name), _ in self.stands_in[:1]:
            was = vars(where)[name]
            home = (was.fget if isinstance(was, property) else was).__module__
            return bool(home.startswith("syncd.core."))
        return False

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for place, does in self.stands_in:
                stack.enter_context(_standing_in(place, does))
            yield


def defect(
    law: str,
    *places: Place,
    equal: bool = False,
    may: Callable[[Script], bool] = lambda script: True,
    beside: tuple[tuple[Place, Callable[..., Any]], ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """places: where the decorated function stands in; beside: what else does, where one mistake
    shows in several places."""

    def register(does: Callable[..., Any]) -> Callable[..., Any]:
        name, what = does.__name__, " ".join((does.__doc__ or "").split())
        assert what and name not in DEFECTS
        stands_in = (*((place, does) for place in places), *beside)
        DEFECTS[name] = Defect(name, what, law, equal, may, stands_in)
        return does

    return register


@contextmanager
def _standing_in(place: Place, does: Callable[..., Any]) -> Iterator[None]:
    def stand(was: Callable[..., Any], *args: Any, **said: Any) -> Any:
        return does(was, *args, **said)

    with _replaced(place, stand):
        yield


@contextmanager
def _replaced(place: Place, stand: Callable[..., Any]) -> Iterator[None]:
    where, name = place
    was = vars(where)[name]
    if isinstance(was, property):
        made: Any = property(partial(stand, was.fget))
    else:

        def made(*args: Any, **said: Any) -> Any:
            return stand(was, *args, **said)

    setattr(where, name, made)
    try:
        yield
    finally:
        setattr(where, name, was)


@contextmanager
def watched(defects: Iterable[Defect]) -> Iterator[set[str]]:
    """Nothing is planted, but each stand-in of a pure function is asked beside it. Answers, once
    a life is over, which of them ever came to another result: the others change nothing in it."""
    bit: set[str] = set()
    busy: list[str] = []
    by_place: dict[tuple[int, str], list[tuple[str, Place, Callable[..., Any]]]] = {}
    for defect_ in defects:
        lead = defect_.stands_in[0][1]
        for place, does in defect_.stands_in:
            if does is lead:
                mark = (id(place[0]), place[1])
                by_place.setdefault(mark, []).append((defect_.name, place, does))
    with ExitStack() as stack:
        for many in by_place.values():

            def beside(
                was: Callable[..., Any],
                *args: Any,
                many: Any = many,
                **said: Any,
            ) -> Any:
                real = was(*args, **said)
                if busy:
                    return real
                busy.append("")
                try:
                    for name, _, does in many:
                        if name not in bit and _differs(real, does, was, args, said):
                            bit.add(name)
                finally:
                    busy.clear()
                return real

            stack.enter_context(_replaced(many[0][1], beside))
        yield bit


def _differs(real: Any, does: Any, was: Any, args: Any, said: Any) -> bool:
    try:
        return bool(does(was, *args, **said) != real)
    except Exception:
        return True


# --- lives in which a defect may do something -----------------------------------------------------


def faults(*kinds: str) -> Callable[[Script], bool]:
    return lambda script: any(fault.kind in kinds for fault in script.faults)


def traits(**wanted: Any) -> Callable[[Script], bool]:
    """Some system has all of these."""
    return lambda script: any(
        all(getattr(system, name) == value for name, value in wanted.items())
        for system in script.systems.values()
    )


def lagging(script: Script) -> bool:
    return any(system.lag for system in script.systems.values())


def said(**wanted: Any) -> Callable[[Script], bool]:
    """The flow's config has these, from the beginning or later."""
    return lambda script: any(
        table.get(name) == value
        for name, value in wanted.items()
        for table in (script.flow, *(change.patch for change in script.changes))
    )


def guarded(script: Script) -> bool:
    return isinstance(script.flow["guard"]["deletes"], int)


def approving(script: Script) -> bool:
    return any(event.kind == "approve" for event in script.events)


def by_cursor(script: Script) -> bool:
    """Incremental runs to the end: a full one would find what a cursor passed by."""
    return script.settle == "incremental"


def both(*conditions: Callable[[Script], bool]) -> Callable[[Script], bool]:
    return lambda script: all(condition(script) for condition in conditions)
