"""The tables of the shadow-state store, and nothing else.

    meta, counter           the store's own facts; the next id of each kind
    flow, member            names become small numbers; fingerprint: mappings as they once were
    entity ─┬─ link         what is agreed, and what each member confirmed of it
            ├─ tombstone    links that are gone; one key may have had several incarnations
            ├─ missed       records that the last listing did not show, while that proves nothing
            └─ match_key    hashed match keys of the entity
    operation               the journal
    case_, decision         what policies leave open, and what people said
    hold, hold_item         what a guard stopped; guard_count: what it counted
    quarantine              what a system refuses
    run, audit, lease       history, and who owns a flow

Ids are allocated by the store (`syncd.store.bulk.allocate`), never by the database; times are
canonical datetimes as text ("2026-01-31T08:00:00.000000Z"), which sort as text; states and kinds
are words; payloads are JSON, as bytes where the engine reads them in bulk and as text where people
do. Hot tables carry no foreign keys: a first load writes millions of rows, and `state doctor` looks
for orphans. An entity's payload is shared by its links: `link.base` is NULL where every agreed
field has exactly the agreed value and sequence as its base there; the common case costs nothing.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes a table's rowid of an INTEGER PRIMARY KEY only, and all its integers hold 64 bits.
Id = BigInteger().with_variant(Integer(), "sqlite")

# Keys are compared byte by byte: SQLite does so unless told otherwise, PostgreSQL must be told.
Key = Text().with_variant(Text(collation="C"), "postgresql")

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

flow = Table(
    "flow",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    # The config this flow was last run under; another one reopens every entity.
    Column("fingerprint", Text, nullable=False, server_default=text("''")),
    # After a rebuild: link only, create and delete nothing, until a person confirms.
    Column("relink", Boolean, nullable=False, server_default=text("false")),
)

member = Table(
    "member",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, ForeignKey("flow.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("identity", Text),
    Column("fingerprint", Text, nullable=False, server_default=text("''")),
    Column("cursor", Text),
    Column("last_full_at", Text),
    Column("listed_at", Text),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    UniqueConstraint("flow_id", "name"),
)

fingerprint = Table(
    "fingerprint",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, ForeignKey("flow.id"), nullable=False),
    Column("member_id", Integer, ForeignKey("member.id"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    UniqueConstraint("member_id", "digest"),
)

entity = Table(
    "entity",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("agreed", LargeBinary, nullable=False),
    Column("meta", LargeBinary),
    Column("work", SmallInteger, nullable=False),
    Column("updated_run", BigInteger, nullable=False),
)
Index(
    "ix_entity_work",
    entity.c.flow_id,
    entity.c.id,
    sqlite_where=entity.c.work != 0,
    postgresql_where=entity.c.work != 0,
)


def _facts() -> list[Column[object]]:  # of a link and its tombstone
    return [
        Column("row_hash", BigInteger),
        Column("base", LargeBinary),
        Column("version", Text),
        Column("own_time", Text),
        Column("edited", Text),
        Column("created", Text),
        Column("moved_tick", BigInteger, nullable=False),
        Column("fingerprint_id", Integer),
    ]


link = Table(
    "link",
    metadata,
    Column("member_id", Integer, primary_key=True, autoincrement=False),
    Column("key", Key, primary_key=True),
    Column("entity_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    *_facts(),
    sqlite_with_rowid=False,
)
# At most one link that is not gone, an entity and member: no duplicate can even be stored.
Index("uq_link_entity_id_member_id", link.c.entity_id, link.c.member_id, unique=True)

tombstone = Table(
    "tombstone",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("member_id", Integer, nullable=False),
    Column("key", Key, nullable=False),
    Column("entity_id", BigInteger, nullable=False),
    *_facts(),
    Column("gone_at", Text, nullable=False),
)
Index("ix_tombstone_member_id_key", tombstone.c.member_id, tombstone.c.key)
Index("ix_tombstone_entity_id", tombstone.c.entity_id)

missed = Table(
    "missed",
    metadata,
    Column("member_id", Integer, primary_key=True, autoincrement=False),
    Column("key", Key, primary_key=True),
    Column("run_id", BigInteger, nullable=False),  # of the last complete listing without it
    Column("tick", BigInteger, nullable=False),  # when it was first missed
    sqlite_with_rowid=False,
)

# Of flows with a member whose reads lag: where the ticks stood, by the clock of a boot.
moment = Table(
    "moment",
    metadata,
    Column("flow_id", Integer, primary_key=True, autoincrement=False),
    Column("boot", Text, primary_key=True),
    Column("tick", BigInteger, primary_key=True, autoincrement=False),
    Column("ms", BigInteger, nullable=False),
    Column("at", Text),  # by the clock of the store's server, where it has one
    sqlite_with_rowid=False,
)

match_key = Table(
    "match_key",
    metadata,
    Column("flow_id", Integer, primary_key=True, autoincrement=False),
    Column("rule", SmallInteger, primary_key=True, autoincrement=False),
    Column("hash", BigInteger, primary_key=True, autoincrement=False),
    Column("entity_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
Index("ix_match_key_entity_id", match_key.c.entity_id)

operation = Table(
    "operation",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("op_id", Text, nullable=False, unique=True),
    Column("run_id", BigInteger, nullable=False),
    Column("flow_id", Integer, nullable=False),
    Column("member_id", Integer, nullable=False),
    Column("entity_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Key),
    Column("operation", LargeBinary, nullable=False),
    # NULL: derived from the entity's agreed values by the mapping of the fingerprint.
    Column("native", LargeBinary),
    Column("fingerprint_id", Integer),
    Column("state", Text, nullable=False),
    Column("token", Text),
    Column("sent_at", Text),
    Column("not_after", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=False, server_default=text("''")),
)
_UNSETTLED = operation.c.state.in_(["planned", "sent", "unknown"])
Index(
    "ix_operation_unsettled",
    operation.c.flow_id,
    operation.c.entity_id,
    sqlite_where=_UNSETTLED,
    postgresql_where=_UNSETTLED,
)

case_ = Table(
    "case_",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, nullable=False),
    Column("entity_id", BigInteger, nullable=False),  # 0: of no entity (identity)
    Column("kind", Text, nullable=False),
    Column("member", Text, nullable=False),  # "": of no single member
    Column("fields", Text, nullable=False),
    Column("candidates", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("opened_run", BigInteger, nullable=False),
    Column("seen_run", BigInteger, nullable=False),
    Column("closed_run", BigInteger),
)
# A rerun that finds the same case finds it here; it adds none.
_CASE_OPEN = case_.c.state != "closed"
Index(
    "uq_case_open",
    case_.c.flow_id,
    case_.c.entity_id,
    case_.c.kind,
    case_.c.member,
    case_.c.fields,
    case_.c.digest,
    unique=True,
    sqlite_where=_CASE_OPEN,
    postgresql_where=_CASE_OPEN,
)
Index("ix_case_entity_id", case_.c.entity_id)

decision = Table(
    "decision",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("case_id", BigInteger, ForeignKey("case_.id"), nullable=False),
    Column("flow_id", Integer, nullable=False),
    Column("entity_id", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("source", Text),
    Column("values", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=text("''")),
)
Index("ix_decision_case_id", decision.c.case_id)
_DECISION_PENDING = decision.c.state == "pending"
Index(
    "ix_decision_pending",
    decision.c.flow_id,
    decision.c.entity_id,
    sqlite_where=_DECISION_PENDING,
    postgresql_where=_DECISION_PENDING,
)

hold = Table(
    "hold",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause_member", Text, nullable=False),
    Column("target_member", Text, nullable=False),  # whose limit tripped; "": several
    Column("state", Text, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("opened_run", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("by", Text, nullable=False, server_default=text("''")),
    Column("closed_at", Text),
)
_HOLD_OPEN = hold.c.state == "open"
Index(
    "uq_hold_open",
    hold.c.flow_id,
    hold.c.kind,
    hold.c.cause_member,
    unique=True,
    sqlite_where=_HOLD_OPEN,
    postgresql_where=_HOLD_OPEN,
)

hold_item = Table(
    "hold_item",
    metadata,
    Column("hold_id", BigInteger, ForeignKey("hold.id"), primary_key=True, autoincrement=False),
    Column("entity_id", BigInteger, primary_key=True, autoincrement=False),
    Column("member", Text, primary_key=True),
    Column("op_digest", Text, primary_key=True),
    Column("key", Key),
    Column("summary", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("added_run", BigInteger, nullable=False),
)
Index("ix_hold_item_entity_id", hold_item.c.entity_id)

guard_count = Table(
    "guard_count",
    metadata,
    Column("flow_id", Integer, primary_key=True, autoincrement=False),
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("at", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("ms", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
)
Index("ix_guard_count_flow_id_at", guard_count.c.flow_id, guard_count.c.at)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, nullable=False),
    Column("member_id", Integer, nullable=False),
    Column("entity_id", BigInteger, nullable=False),
    Column("key", Key),
    Column("op_digest", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    Column("next_at", Text),
    Column("state", Text, nullable=False),
)
_QUARANTINED = quarantine.c.state.in_(["open", "retry", "dropped"])
Index(
    "uq_quarantine_open",
    quarantine.c.flow_id,
    quarantine.c.entity_id,
    quarantine.c.member_id,
    quarantine.c.key,  # of no entity there may be several
    unique=True,
    sqlite_where=_QUARANTINED,
    postgresql_where=_QUARANTINED,
)

run = Table(
    "run",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("flow_id", Integer, nullable=False),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("counts", Text, nullable=False, server_default=text("'{}'")),
    Column("error", Text, nullable=False, server_default=text("''")),
    Column("exit", Integer),
    Column("holder", Text, nullable=False),
)
Index("ix_run_flow_id_id", run.c.flow_id, run.c.id)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("run_id", BigInteger, nullable=False),
    Column("at", Text, nullable=False),
    Column("flow_id", Integer, nullable=False),
    Column("member_id", Integer),
    Column("entity_id", BigInteger, nullable=False),
    Column("key", Key),
    Column("op_id", Text),
    Column("kind", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("actor", Text, nullable=False),
)
Index("ix_audit_entity_id", audit.c.entity_id)
Index("ix_audit_run_id", audit.c.run_id)

lease = Table(
    "lease",
    metadata,
    Column("flow", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Text, nullable=False),
    # When it ends on the host's monotonic clock, for whoever shares its boot (see `started`).
    Column("until_ms", BigInteger, nullable=False),
    Column("renewed_at", Text, nullable=False),
)
