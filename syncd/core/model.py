"""The nouns of a run, as values. Every stage takes some of these and returns others.

A **value** is canonical and JSON-native (see `syncd.core.values`): str, int, bool, None, list or
dict. A field that a record does not carry is simply missing from its mapping, so null, empty and
absent stay apart. Two values are *the same* iff their comparison forms are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar

Value = Any  # str | int | bool | None | list[Value] | dict[str, Value]
Fields = Mapping[str, Value]

T = TypeVar("T")


def staged(cls: type[T]) -> type[T]:
    """A class whose values pass through a run's scratch by the million: `dataclasses` looks the
    fields of frozen ones up anew for each value it unpickles, this does so once."""
    names: tuple[str, ...] = cls.__slots__  # type: ignore[attr-defined]
    get = attrgetter(*names)
    setters = [getattr(cls, name).__set__ for name in names]

    def restore(self: T, state: tuple[Any, ...]) -> None:
        for put, value in zip(setters, state, strict=True):
            put(self, value)

    cls.__getstate__ = lambda self: get(self)  # type: ignore[method-assign]
    cls.__setstate__ = restore  # type: ignore[attr-defined]
    return cls


class LinkState(StrEnum):
    LIVE = "live"
    OUT_OF_SCOPE = "out-of-scope"
    UNLINKED = "unlinked"  # excused: a person or the delete policy untied it
    IGNORED = "ignored"  # excused
    DECLINED = "declined"  # excused: a hold was discarded, or a drifted deletion kept
    ARCHIVED = "archived"  # where no mark can be set; one marked as deleted is gone
    DORMANT = "dormant"  # its member is not in the config
    GONE = "gone"  # tombstone

    @property
    def excused(self) -> bool:
        return self in (LinkState.UNLINKED, LinkState.IGNORED, LinkState.DECLINED)


class EntityState(StrEnum):
    LIVE = "live"
    DELETING = "deleting"  # a deletion was decided, not every link is confirmed gone
    GONE = "gone"
    ENDED = "ended"  # a deletion under `unlink` or `archive`: links stay, nothing is written


@staged
@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a value: a member's edit, a rule, or a person. `at` is the edit's own time."""

    member: str | None
    run: int
    rule: str
    at: str | None = None


@staged
@dataclass(frozen=True, slots=True)
class Agreed:
    value: Value
    seq: int
    origin: Origin


class Unset(StrEnum):
    """The type of `UNSET`: no value at all, distinct from null."""

    UNSET = "unset"


UNSET = Unset.UNSET


@staged
@dataclass(frozen=True, slots=True)
class Base:
    """What one member last confirmed of one field (law 5).

    seq       the agreed sequence it confirmed; 0 = behind whatever is agreed
    unproven  the write succeeded without proof: `value` is what was sent
    sent      a write of this value ended unknown; `value` is still the one before it
    beside    the fields of that write, where it had several: they arrive together
    seen      another form than the one sent was read here, and the value sent stands: read again
              after that was sent again, it is this member's own form of it
    """

    value: Value
    seq: int
    unproven: bool = False
    sent: Value | Unset = UNSET
    seen: Value | Unset = UNSET
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One member's object as it is now.

    key       native id, encoded by `syncd.core.keys`
    fields    forms by flow field; absent fields are missing
    version   the member's version token; None where it has none
    former    the same row under the mapping its link's bases were made with, where that changed
    modified  when the member says it was last edited (canonical datetime); None = unknown
    created   creation mark: tells incarnations of one key apart; None = none
    row_hash  hash of the row as read; None = read in another way than snapshots are
    """

    key: str
    fields: Fields
    version: str | None = None
    modified: str | None = None
    created: str | None = None
    row_hash: int | None = None
    former: Fields | None = None


@staged
@dataclass(frozen=True, slots=True)
class Link:
    """Binds one member's record to an entity.

    bases       by field; a field without one is at first sight
    row_hash    of the last row whose every field equalled its base; None = look again
    own_time    `modified` as it stood after our own last write; that is nobody's edit
    edited      time of the last edit that was not ours; None = unknown
    moved_tick  store tick at which a base last moved, or its end was learned: an older read is no
                evidence
    fingerprint of mapping and types the bases were made under
    """

    member: str
    key: str
    state: LinkState = LinkState.LIVE
    bases: Mapping[str, Base] = field(default_factory=dict)
    version: str | None = None
    own_time: str | None = None
    edited: str | None = None
    created: str | None = None
    row_hash: int | None = None
    moved_tick: int = 0
    fingerprint: str = ""


@staged
@dataclass(frozen=True, slots=True)
class Entity:
    """The thing in the world that the links stand for; id 0 = not in the store yet.

    links   every link that is not gone, by member: at most one a member
    gone    tombstones, newest last
    unsettled  operations of this entity whose outcome is not known, by member
    cases   those open in the store: one whose candidate was not read now stays open (law 5)
    """

    id: int
    state: EntityState = EntityState.LIVE
    agreed: Mapping[str, Agreed] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    gone: tuple[Link, ...] = ()
    unsettled: Mapping[str, OpKind] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()


class ReadStatus(StrEnum):
    SEEN = "seen"  # read in this run, `record` holds it
    SAME = "same"  # read in this run, the row as read is that of the last time: equals its bases
    MISSING = "missing"  # proven absent (law 6)
    UNREAD = "unread"  # not read, or no evidence (law 5)


@dataclass(frozen=True, slots=True)
class Read:
    """What this run knows of one member's record of one entity.

    tick     store tick at which the read began
    shows    the last tick whose writes it must show; None = `tick`, 0 = none (a read that lags)
    complete the member was read whole in this run: absence of a candidate there is proven
    """

    status: ReadStatus
    record: Record | None = None
    tick: int = 0
    complete: bool = False
    reason: str = ""
    shows: int | None = None


class OpKind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ARCHIVE = "archive"


@staged
@dataclass(frozen=True, slots=True)
class Operation:
    """One effect to bring about at one member.

    fields   forms to send: all mapped ones for a create, the pending ones for an update
    expect   forms that must still stand there (precondition): the sent fields of an update,
             every field with a base for a delete
    seqs     the agreed sequence each sent field confirms
    before   forms as known now, for people and the audit
    cause    the member whose change this carries, or `""` for a rule or person
    reasons  by field, in words: "edited in crm", "owner erp", "newest"
    """

    member: str
    kind: OpKind
    key: str | None
    fields: Fields
    expect: Fields
    seqs: Mapping[str, int]
    before: Fields = field(default_factory=dict)
    version: str | None = None
    cause: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    blanks: tuple[str, ...] = ()  # fields whose non-blank value this blanks
    first_sight: tuple[str, ...] = ()  # fields first seen at this member
    rebase: bool = False  # carries a changed mapping, not an edit


class CaseKind(StrEnum):
    FIELD = "field"  # several candidates
    FIRST = "first-sight"
    DELETE = "delete"  # a deletion to be reviewed, or against an edit
    DRIFT = "drift"
    LOSSY = "lossy"  # an edit from a link that truncates or rounds
    UNPROVEN = "unproven"
    INVALID = "invalid"  # the record as it would stand at a target is not valid there
    IDENTITY = "identity"  # match rules do not say who is who
    SAME_ENTITY = "same-entity"  # keys of two entities came to meet
    REAPPEARED = "reappeared"  # a deleted id is back
    DUPLICATE = "duplicate"  # one native id or match key twice within a member


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of a case. source: a member, or "agreed". values by field; None = deleted.
    heard False: of a member without authority over the fields; shown, but not to be taken."""

    source: str
    values: Fields | None
    key: str | None = None
    seq: int = 0
    at: str | None = None
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """What a policy leaves open: a value, never an exception. `digest` names its candidates."""

    kind: CaseKind
    fields: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    reason: str
    digest: str
    member: str | None = None  # for INVALID: the target


class Choice(StrEnum):
    TAKE = "take"  # a candidate's values
    VALUE = "value"  # values typed by a person
    DELETE = "delete"  # let the deletion travel
    KEEP = "keep"  # the deleted record lives on: recreated where it is gone
    UNLINK = "unlink"
    SPLIT = "split"  # identity: every record is its own entity
    LINK = "link"  # identity: exactly these records are one entity
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says of the case whose candidates have this digest; void for any other.

    source  of the candidate taken (TAKE)
    values  by field (VALUE)
    keys    (member, key) pairs (LINK, NEVER)
    """

    id: int
    digest: str
    choice: Choice
    by: str
    source: str | None = None
    values: Fields = field(default_factory=dict)
    keys: tuple[tuple[str, str], ...] = ()


class NoteKind(StrEnum):
    DRIFT = "drift"
    DEGRADED = "degraded"
    REBASED = "rebased"
    WAITS = "waits"
    SUPPRESSED = "suppressed"
    LOST = "lost"  # an edit that lost by policy or decision: its value, for the audit
    PROVEN = "proven"  # an unknown write was found


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person may ask about later: audit and counts, no effect of its own."""

    kind: NoteKind
    member: str
    fields: tuple[str, ...] = ()
    values: Fields = field(default_factory=dict)
    text: str = ""


@staged
@dataclass(frozen=True, slots=True)
class EntityPlan:
    """What one entity comes to: the whole new state to record, then what to send.

    entity      as it shall stand in the store before the first effect (agreed, links, state)
    cases       open after this run, decisions applied
    used        decisions this plan consumed; voided: those whose candidates moved
    waits       something is left for a later run (an unread member, a create without proof)
    """

    entity: Entity
    operations: tuple[Operation, ...] = ()
    cases: tuple[Case, ...] = ()
    notes: tuple[Note, ...] = ()
    used: tuple[int, ...] = ()
    voided: tuple[int, ...] = ()
    waits: bool = False
    changed: bool = False  # `entity` differs from the stored one
