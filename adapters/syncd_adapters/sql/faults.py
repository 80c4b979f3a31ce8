"""What a database error means, and its translation into the errors of `syncd.errors`.

Each flavor classifies its driver's exceptions into a `Fault`; everything else here and above
speaks only of faults. No message carries the connection's address or password.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syncd.errors import AccessDenied, SchemaChanged, SyncdError, SystemFault, Unreachable


class FaultKind(StrEnum):
    REFUSED = "refused"  # the statement's data: a constraint, a trigger, a value that does not fit
    AGAIN = "again"  # deadlock, serialization, busy: the same transaction may succeed
    DOWN = "down"  # no connection, or it broke
    DEADLINE = "deadline"  # the statement's time is over
    LOGIN = "login"
    DENIED = "denied"  # a privilege is missing
    DATABASE = "database"  # the server has no such database
    OBJECT = "object"
    COLUMN = "column"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Fault:
    """text: the database's own words, one line. unique, foreign: which constraint refused. hint:
    what to do, where that is not what the kind says."""

    kind: FaultKind
    text: str
    unique: bool = False
    foreign: bool = False
    hint: str = ""


class Uncorrelated(Exception):
    """Rows came back from an insert that cannot be told apart; one at a time they can."""


class UnderWay(Exception):
    """A transaction asked about has not ended: nothing can be said of its writes."""


class Refused(Exception):
    """One record cannot even be sent; the text says why."""


_CLASSES: dict[FaultKind, tuple[type[SyncdError], str, str]] = {
    FaultKind.DOWN: (
        Unreachable,
        "SY0211",
        "see that the server runs and that host, port and network are right; the run retries",
    ),
    FaultKind.LOGIN: (AccessDenied, "SY0212", "see user and password in the system's url"),
    FaultKind.DENIED: (AccessDenied, "SY0213", "grant the privilege to the user of the url"),
    FaultKind.DATABASE: (AccessDenied, "SY0214", "see the database name in the system's url"),
    FaultKind.OBJECT: (SchemaChanged, "SY0215", "see `object` of the member in the config"),
    FaultKind.COLUMN: (SchemaChanged, "SY0216", "see `fields` of the member in the config"),
    FaultKind.DEADLINE: (
        Unreachable,
        "SY0217",
        "raise `timeout` of the system, or see what blocks the database; the run retries",
    ),
    FaultKind.AGAIN: (
        Unreachable,
        "SY0218",
        "other transactions kept the rows locked; the next run tries again",
    ),
    FaultKind.CORRUPT: (SystemFault, "SY0219", "restore the database before the next run"),
    FaultKind.REFUSED: (SystemFault, "SY0220", "the database refused the statement"),
}


def to_error(fault: Fault, system: str, doing: str) -> SyncdError:
    kind, code, hint = _CLASSES[fault.kind]
    return kind(f"{doing}: {fault.text}", code=code, where=system, hint=fault.hint or hint)


def one_line(text: str) -> str:
    """The first line of what a driver says, in a bounded length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return line if len(line) <= 300 else line[:299] + "…"
