"""Every error syncd raises, and what each one decides.

    SyncdError
    ├── ConfigError            exit 2   the config or the command line is wrong
    ├── SystemFault            exit 1   one system; the others go on
    │   ├── Unreachable                 retryable
    │   ├── AccessDenied                fatal until somebody changes a credential or a grant
    │   ├── SchemaChanged               fatal: the mapping halts, nothing is blanked
    │   ├── IdentityMismatch            fatal: this is not the database of the last run
    │   └── ReadIncomplete              retryable: nothing may be inferred from absence
    ├── Rejected               record   the system refuses one record: quarantine
    ├── Unrepresentable        record   one value does not fit its declared type
    ├── StoreError             exit 1   the shadow-state store
    │   ├── StoreRefused       exit 2   newer, older, corrupt or foreign state; a person decides
    │   └── StoreBusy                   retryable: the bounded wait was too short
    ├── FlowBusy               exit 4   another run holds the flow
    ├── LeaseLost              exit 4   this run no longer owns the flow
    └── Interrupted            exit 130

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


class Unreachable(SystemFault):
    code = "SY0201"
    kind = Kind.RETRYABLE


class AccessDenied(SystemFault):
    code = "SY0202"


class SchemaChanged(SystemFault):
    code = "SY0203"


class IdentityMismatch(SystemFault):
    code = "SY0204"


class ReadIncomplete(SystemFault):
    code = "SY0205"
    kind = Kind.RETRYABLE


class Rejected(SyncdError):
    code = "SY0300"
    kind = Kind.REJECTED


class Unrepresentable(SyncdError):
    code = "SY0301"
    kind = Kind.REJECTED


class StoreError(SyncdError):
    code = "SY0400"


class StoreRefused(StoreError):
    code = "SY0401"
    exit_code = 2


class StoreBusy(StoreError):
    code = "SY0402"
    kind = Kind.RETRYABLE


class FlowBusy(SyncdError):
    code = "SY0500"
    exit_code = 4


class LeaseLost(SyncdError):
    code = "SY0501"
    exit_code = 4


class Interrupted(SyncdError):
    code = "SY0502"
    exit_code = 130
