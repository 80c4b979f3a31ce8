"""The shape of the config file, table by table. What one table says of another is `check`'s."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from syncd.config import words
from syncd.core.rules import DeleteConflict, Deletes, Drift, Mode, Policy

_NAMES = {"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}

Duration = Annotated[
    float,
    BeforeValidator(words.duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["2s", "5m", "24h"]}),
]
Names = Annotated[tuple[str, ...], BeforeValidator(words.names), WithJsonSchema(_NAMES)]
Policies = Annotated[
    tuple[Policy, ...],
    BeforeValidator(words.policies),
    WithJsonSchema({**_NAMES, "examples": [*words.POLICIES, ["prefer:erp", "newest"]]}),
]
FirstPolicies = Annotated[
    tuple[Policy, ...],
    BeforeValidator(words.first_policies),
    WithJsonSchema({**_NAMES, "examples": ["prefer:<member>", "newest", "review"]}),
]
DeletesFrom = Annotated[
    str | tuple[str, ...],
    BeforeValidator(words.deletes_from),
    WithJsonSchema({"anyOf": [{"enum": ["any", "all"]}, {**_NAMES, "type": "array"}]}),
]
Cron = Annotated[
    str,
    BeforeValidator(words.cron),
    WithJsonSchema({"type": "string", "examples": ["*/5 * * * *"]}),
]


class Table(BaseModel):
    """A table of the file: no key it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ShortTable(Table):
    """A table that one text may stand for: the value of its key `short`."""

    short: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {cls.short: value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class StateConfig(Table):
    """The shadow-state store."""

    url: str | None = Field(
        None, description="SQLite or PostgreSQL; default: state.db in the state directory"
    )
    deployment: str | None = Field(
        None, description="name of this installation, where the state must not be another's"
    )


class SystemConfig(BaseModel):
    """One external database or application. What else stands here is the connector's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    connector: str = Field(description="which adapter speaks to it: sql")
    receipts: StrictBool | None = Field(
        None, description="keep a receipts table there, written with each effect"
    )

    @property
    def options(self) -> dict[str, Any]:
        """What is handed to the adapter."""
        return dict(self.model_extra or {})


class LimitConfig(Table):
    """Above `count`, or above `percent` of the member's live links: a person is asked."""

    count: Annotated[int, Field(ge=0, strict=True)] | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if value == "off":
            return {}
        if isinstance(value, str):
            return {"percent": words.percent(value)}
        if isinstance(value, int) and not isinstance(value, bool):
            return {"count": value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        short = {"type": ["string", "integer"], "examples": ["5%", 200, "off"]}
        return {"anyOf": [short, handler(core)]}


class GuardConfig(Table):
    """Limits a kind of operation, over a rolling window."""

    creates: LimitConfig = LimitConfig()
    updates: LimitConfig = LimitConfig(percent=40.0)
    blankings: LimitConfig = LimitConfig(percent=5.0)
    deletes: LimitConfig = LimitConfig(percent=5.0)
    first_sight: LimitConfig = LimitConfig()
    rebases: LimitConfig = LimitConfig(percent=40.0)
    floor: Annotated[int, Field(ge=0, strict=True)] = Field(
        10, description="up to so many operations no percentage trips"
    )
    window: Duration = Field(86400.0, description="counted over so long, all runs together")


class FieldConfig(ShortTable):
    """One field of the flow, as every member understands it."""

    short: ClassVar[str] = "type"

    type: str = Field(description="text, integer, decimal(12,2), date, set, …")
    fold: Names = Field((), description="how values are compared: trim, lower, casefold, …")
    owner: str | None = Field(None, description="the only member whose changes count")
    fill: StrictBool = Field(False, description="a blanking is no change")
    conflict: Policies | None = Field(None, description="instead of the flow's")
    first: FirstPolicies | None = Field(None, description="instead of the flow's")
    lossy: Literal["review", "accept"] = Field(
        "review", description="an edit at a member that holds the value cut or rounded"
    )
    exclusive: StrictBool = Field(
        False, description="two different values never belong to one entity"
    )
    private: StrictBool = Field(False, description="masked in all output")
    null: Literal["distinct", "empty"] | None = Field(
        None, description="empty: null and the empty text are the same thing"
    )
    zone: str | None = Field(None, description="of wall times: Europe/Berlin")
    precision: Literal["s", "ms", "us"] | None = Field(
        None, description="times are compared this finely"
    )
    choices: Names | None = Field(None, description="of an enum")
    limit: Annotated[int, Field(gt=0, strict=True)] | None = Field(
        None, description="of bytes: at most so many"
    )


class ColumnConfig(ShortTable):
    """How one member stores one field of the flow."""

    short: ClassVar[str] = "native"

    native: Names = Field(description="its column, or the columns a lens reads together")
    lens: str | None = Field(None, description="words: split and join")
    table: dict[str, str] | None = Field(None, description="native value = the flow's value")
    zone: str | None = Field(None, description="of wall times in this column")
    read_only: StrictBool = Field(False, description="read, never written")


class MemberConfig(Table):
    """One system's object taking part in a flow."""

    system: str | None = Field(None, description="default: the member's own name")
    object: str = Field(description="table or view: public.customers")
    mode: Mode = Mode.BOTH
    key: Names | None = Field(None, description="columns of the native id, where it has no key")
    fields: dict[str, ColumnConfig] = Field(min_length=1, description="flow field = column")
    version: str | None = Field(None, description="column that changes with every write")
    modified: str | None = Field(None, description="column with the time of the last edit")
    created: str | None = Field(None, description="column with a creation mark")
    cursor: str | None = Field(None, description="column that only grows with edits")
    overlap: Duration = Field(60.0, description="re-read behind the cursor")
    list_every: Duration = Field(
        0.0, description="incremental runs list the keys, which finds deletions, that often"
    )
    soft_delete: str | None = Field(None, description="column that marks a row as deleted")
    receipts: StrictBool | None = Field(None, description="instead of the system's")
    read_lag: Duration = Field(0.0, description="for so long a read may miss our own write")


class FlowConfig(Table):
    """One kind of record kept equal among its members."""

    every: Duration | None = Field(None, description="how often the daemon runs it")
    cron: Cron | None = Field(None, description="when the daemon runs it")
    match: tuple[Names, ...] = Field((), description="rules that link records on first sight")
    conflict: Policies = (Policy("review"),)
    first: FirstPolicies = (Policy("review"),)
    tolerance: Duration = Field(2.0, description="newest: later than each rival by more than this")
    deletes: Deletes = Deletes.REVIEW
    deletes_from: DeletesFrom | None = None
    delete_conflict: DeleteConflict = DeleteConflict.REVIEW
    drift: Drift = Drift.REVERT
    bridge: Literal["wait", "accept"] = Field(
        "wait", description="accept: create though a member that might link it was not read"
    )
    grace: Duration = Field(
        86400.0, description="a deleted id that is back without marks is suppressed for so long"
    )
    guard: GuardConfig = Field(default_factory=lambda: GuardConfig.model_validate({}))
    groups: tuple[Names, ...] = Field((), description="fields that change together")
    fields: dict[str, FieldConfig] = Field(min_length=1)
    members: dict[str, MemberConfig] = Field(min_length=1)


class Config(Table):
    state: StateConfig = Field(default_factory=lambda: StateConfig.model_validate({}))
    systems: dict[str, SystemConfig] = Field(min_length=1)
    flows: dict[str, FlowConfig] = Field(min_length=1)
