"""One member against its object's schema → what the adapter and the mapping are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncd.adapter import EndpointSpec, ObjectSchema
from syncd.config.load import Loaded
from syncd.config.models import MemberConfig
from syncd.config.problems import Path, Problem, did_you_mean
from syncd.core.mapping import FieldMap, MemberMapping
from syncd.core.rules import Deletes, Mode
from syncd.core.values import FieldType
from syncd.errors import ConfigError

_MARKS = ("version", "modified", "created", "cursor", "soft_delete")


@dataclass(frozen=True, slots=True)
class CompiledMember:
    name: str
    system: str
    mode: Mode
    spec: EndpointSpec
    mapping: MemberMapping
    schema: ObjectSchema
    key: tuple[str, ...]  # columns of the native id, from the config or the schema
    list_every: float = 0.0  # seconds from one listing of its keys to the next


class MemberCompiler:
    """One member against its object's schema."""

    def __init__(
        self,
        loaded: Loaded,
        flow: str,
        name: str,
        schema: ObjectSchema,
        types: Mapping[str, FieldType],
    ) -> None:
        self.loaded = loaded
        self.flow = flow
        self.name = name
        self.config: MemberConfig = loaded.flow(flow).members[name]
        self.schema = schema
        self.types = types
        self.path: Path = ("flows", flow, "members", name)
        self.key = self.config.key or schema.key

    def errors(self) -> list[ConfigError]:
        found = [self.loaded.error(problem) for problem in self._problems()]
        return found or self._unfit()

    def _problems(self) -> list[Problem]:
        found = [
            self._no_column((*self.path, "fields", field), column)
            for field, options in self.config.fields.items()
            for column in options.native
            if column not in self.schema.columns
        ]
        for mark in _MARKS:
            column = getattr(self.config, mark)
            if mark == "version" and column in self.schema.versions:
                continue  # the system's own, not listed: xmin
            if column is not None and column not in self.schema.columns:
                found.append(self._no_column((*self.path, mark), column))
        found += [
            self._no_column((*self.path, "key"), column)
            for column in self.config.key or ()
            if column not in self.schema.columns
        ]
        if not self.key:
            text = f"{self.schema.name} has no key: its records cannot be told apart"
            found.append(Problem(self.path, text, "SY0132", 'name its columns: key = ["id"]'))
        if self.config.mode.is_target and not self.schema.writable:
            text = f"{self.schema.name} is a view and cannot be written"
            hint = 'mode = "source", or the table behind it'
            found.append(Problem((*self.path, "mode"), text, "SY0133", hint))
        return found + self._computed() + self._unfit_marks()

    def _computed(self) -> list[Problem]:
        """Fields that would be written to a column which the database computes."""
        found = []
        for name, options in self.config.fields.items():
            columns = [self.schema.columns.get(native) for native in options.native]
            made = [c.name for c in columns if c is not None and c.derived]
            if made and self.config.mode.is_target and not options.read_only:
                text = f"`{', '.join(made)}` is computed by the database and cannot be written"
                path = (*self.path, "fields", name)
                found.append(Problem(path, text, "SY0133", "add read_only = true"))
        return found

    def _unfit_marks(self) -> list[Problem]:
        fit = {
            "modified": ("datetime", "text"),  # a number may count anything, from anywhere
            "cursor": ("datetime", "integer", "decimal", "float", "date"),
            "soft_delete": ("datetime", "boolean", "integer", "date", "text", "enum"),
        }
        found = []
        for mark, families in fit.items():
            column = self.schema.columns.get(getattr(self.config, mark) or "")
            if column is not None and column.family not in families:
                text = f"`{column.name}` is {column.type}; that is no {mark} column"
                found.append(Problem((*self.path, mark), text, "SY0134"))
        return found

    def _no_column(self, path: Path, column: str) -> Problem:
        text = f"{self.schema.name} has no column `{column}`"
        hint = did_you_mean(column, self.schema.columns)
        return Problem(path, text, "SY0130", hint)

    def _unfit(self) -> list[ConfigError]:
        """What the mapping says of each field, one by one, so that each has its line."""
        try:
            self._mapping(self._maps())
        except ConfigError as error:
            whole = error
        else:
            return []
        found = []
        for field_map in self._maps():
            try:
                self._mapping([field_map])
            except ConfigError as error:
                found.append(self._unfitting(error, field_map.field))
        return found or [self._unfitting(whole)]

    def _unfitting(self, error: ConfigError, *field: str) -> ConfigError:
        path = (*self.path, "fields", *field)
        return self.loaded.error(Problem(path, error.message, error.code, error.hint))

    def compiled(self) -> CompiledMember:
        mapping = self._mapping(self._maps())
        config = self.config
        spec = EndpointSpec(
            object=config.object,
            columns=tuple(mapping.columns),
            writes=frozenset(mapping.writes) if config.mode.is_target else frozenset(),
            key=tuple(config.key or ()),
            version=config.version,
            modified=config.modified,
            created=config.created,
            cursor=config.cursor,
            overlap=config.overlap,
            soft_delete=config.soft_delete,
            receipts=self.loaded.receipts(self.flow, self.name) and config.mode.is_target,
        )
        system = self.loaded.system_of(self.flow, self.name)
        key = tuple(self.key)
        return CompiledMember(
            self.name, system, config.mode, spec, mapping, self.schema, key, config.list_every
        )

    def _maps(self) -> list[FieldMap]:
        """A source that is no target never writes, so what cannot be written there is no fault."""
        return [
            FieldMap(
                field=field,
                native=tuple(options.native),
                lens=options.lens,
                table=options.table,
                zone=options.zone,
                read_only=options.read_only or not self.config.mode.is_target,
            )
            for field, options in self.config.fields.items()
        ]

    def _mapping(self, maps: Sequence[FieldMap]) -> MemberMapping:
        fields = self.loaded.flow(self.flow).fields
        return MemberMapping.compile(
            self.types,
            maps,
            self.schema.columns,
            self.name,
            folds={name: options.fold for name, options in fields.items()},
            private=[name for name, options in fields.items() if options.private],
        )


def uncreatable(member: CompiledMember) -> tuple[str, ...]:
    """Why no record can be created at this member, in words; empty = one can."""
    schema = member.schema
    reasons = []
    if schema.privileges is not None and "insert" not in schema.privileges:
        reasons.append("the insert privilege is missing")
    made = schema.key if schema.generated else ()
    for name in member.mapping.unfilled:
        if name not in made:
            reasons.append(f"`{name}` must have a value and no field is mapped to it")
    for name in member.key:
        column = schema.columns[name]
        filled = name in member.mapping.writes or column.default or column.derived
        if not (filled or name in made or name in member.mapping.unfilled):
            reasons.append(f"`{name}` is the key, and no field is mapped to it")
    return tuple(reasons)


def shortcomings(member: CompiledMember, deletes: Deletes) -> list[tuple[str, str]]:
    """What a run would stumble over there: (text, hint)."""
    found = []
    if member.mode.is_target:
        reasons = uncreatable(member)
        if reasons:
            what = "; ".join(reasons)
            hint = "map a field to each, let the database fill them, or grant what is missing"
            found.append((f"no record can be created in {member.schema.name}: {what}", hint))
        granted = member.schema.privileges
        if granted is not None and "update" not in granted:
            text = f"the update privilege on {member.schema.name} is missing"
            found.append((text, 'grant it, or mode = "source"'))
        if deletes is Deletes.PROPAGATE and granted is not None and "delete" not in granted:
            text = f"the delete privilege on {member.schema.name} is missing"
            found.append((text, 'grant it, or another `deletes` than "propagate"'))
    return found
