"""Every error syncd raises, and what each one decides.

    SyncdError                 exit 1   nobody foresaw it, so nobody can say whether it passes
    ├── ConfigError            exit 2   the config or the command line is wrong
    ├── SystemFault            exit 2   one system; the others go on
    │   ├── Unreachable        exit 1   it may answer later
    │   ├── AccessDenied       exit 2   until somebody changes a credential or a grant
    │   ├── SchemaChanged      exit 2   the mapping halts, nothing is blanked
    │   ├── IdentityMismatch   exit 2   this is not the database of the last run
    │   └── ReadIncomplete     exit 1   nothing may be inferred from absence
    ├── Rejected               exit 2   the system refuses one record: quarantine
    ├── Unrepresentable        exit 2   one value does not fit its declared type
    ├── StoreError             exit 2   the shadow-state store
    │   ├── StoreRefused       exit 2   newer, older, corrupt or foreign state; a person decides
    │   ├── StoreBusy          exit 1   the bounded wait was too short, or nobody answers
    │   └── StoreUnwritable    exit 1   no space, or the disk fails: nothing is lost by waiting
    ├── FlowBusy               exit 4   another run holds the flow
    ├── LeaseLost              exit 4   this run no longer owns the flow
    └── Interrupted            exit 130

Exit 1 says that the same call may succeed later, and 2 that somebody has to change something first:
a service manager repeats the one and leaves the other alone.

A foreign exception (driver, library) is translated where it enters and never travels further.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What the caller does with an error."""

    FATAL = "fatal"  # the same call will fail again
    RETRYABLE = "retryable"  # the same call may succeed later
    REJECTED = "rejected"  # one record is refused, the rest goes on


class SyncdError(Exception):
    """A failure with an address.

    message  what happened, to which record or table
    code     permanent, `SY` and four digits; docs/errors.md has a section for each
    where    file and line, system, or flow and record; empty where there is none
    hint     the next thing to do or to type
    """

    code = "SY0001"
    kind = Kind.FATAL
    exit_code = 1

    def __init__(
        self, message: str, *, code: str | None = None, where: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(SyncdError):
    code = "SY0100"
    exit_code = 2


class SystemFault(SyncdError):
    code = "SY0200"
    exit_code = 2


class Unreachable(SystemFault):
    code = "SY0201"
    kind = Kind.RETRYABLE
    exit_code = 1


class AccessDenied(SystemFault):
    code = "SY0202"


class SchemaChanged(SystemFault):
    code = "SY0203"


class IdentityMismatch(SystemFault):
    code = "SY0204"


class ReadIncomplete(SystemFault):
    code = "SY0205"
    kind = Kind.RETRYABLE
    exit_code = 1


class Rejected(SyncdError):
    code = "SY0300"
    kind = Kind.REJECTED
    exit_code = 2


class Unrepresentable(SyncdError):
    code = "SY0301"
    kind = Kind.REJECTED
    exit_code = 2


class StoreError(SyncdError):
    code = "SY0400"
    exit_code = 2


class StoreRefused(StoreError):
    code = "SY0401"


class StoreBusy(StoreError):
    code = "SY0402"
    kind = Kind.RETRYABLE
    exit_code = 1


class StoreUnwritable(StoreError):
    code = "SY0432"
    kind = Kind.RETRYABLE
    exit_code = 1


class FlowBusy(SyncdError):
    code = "SY0500"
    kind = Kind.RETRYABLE
    exit_code = 4


class LeaseLost(SyncdError):
    code = "SY0501"
    kind = Kind.RETRYABLE
    exit_code = 4


class Interrupted(SyncdError):
    code = "SY0502"
    kind = Kind.RETRYABLE
    exit_code = 130
