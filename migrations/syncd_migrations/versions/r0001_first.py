"""The first schema: agreed values, links with their bases, journal, decisions, lease.

Written out, not taken from the living tables: a revision never changes once it is released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("op_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_entity_id", "audit", ["entity_id"], unique=False)
    op.create_index("ix_audit_run_id", "audit", ["run_id"], unique=False)
    op.create_table(
        "case_",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("opened_run", sa.BigInteger(), nullable=False),
        sa.Column("seen_run", sa.BigInteger(), nullable=False),
        sa.Column("closed_run", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_")),
    )
    op.create_index("ix_case_entity_id", "case_", ["entity_id"], unique=False)
    op.create_index(
        "uq_case_open",
        "case_",
        ["flow_id", "entity_id", "kind", "member", "fields", "digest"],
        unique=True,
        sqlite_where=sa.text("state != 'closed'"),
        postgresql_where=sa.text("state != 'closed'"),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "entity",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("agreed", sa.LargeBinary(), nullable=False),
        sa.Column("meta", sa.LargeBinary(), nullable=True),
        sa.Column("work", sa.SmallInteger(), nullable=False),
        sa.Column("updated_run", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity")),
    )
    op.create_index(
        "ix_entity_work",
        "entity",
        ["flow_id", "id"],
        unique=False,
        sqlite_where=sa.text("work != 0"),
        postgresql_where=sa.text("work != 0"),
    )
    op.create_table(
        "flow",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("relink", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flow")),
        sa.UniqueConstraint("name", name=op.f("uq_flow_name")),
    )
    op.create_table(
        "guard_count",
        sa.Column("flow_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "flow_id", "run_id", "kind", "cause", "target", name=op.f("pk_guard_count")
        ),
    )
    op.create_index("ix_guard_count_flow_id_at", "guard_count", ["flow_id", "at"], unique=False)
    op.create_table(
        "hold",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause_member", sa.Text(), nullable=False),
        sa.Column("target_member", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("opened_run", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("closed_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_index(
        "uq_hold_open",
        "hold",
        ["flow_id", "kind", "cause_member"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "lease",
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("flow", name=op.f("pk_lease")),
    )
    op.create_table(
        "link",
        sa.Column("member_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=True),
        sa.Column("base", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("own_time", sa.Text(), nullable=True),
        sa.Column("edited", sa.Text(), nullable=True),
        sa.Column("created", sa.Text(), nullable=True),
        sa.Column("moved_tick", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("member_id", "key", name=op.f("pk_link")),
        sqlite_with_rowid=False,
    )
    op.create_index("uq_link_entity_id_member_id", "link", ["entity_id", "member_id"], unique=True)
    op.create_table(
        "match_key",
        sa.Column("flow_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "rule", "hash", "entity_id", name=op.f("pk_match_key")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_match_key_entity_id", "match_key", ["entity_id"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "missed",
        sa.Column("member_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("tick", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "key", name=op.f("pk_missed")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "moment",
        sa.Column("flow_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("tick", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("flow_id", "boot", "tick", name=op.f("pk_moment")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "operation",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("operation", sa.LargeBinary(), nullable=False),
        sa.Column("native", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.Text(), nullable=True),
        sa.Column("not_after", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
        sa.UniqueConstraint("op_id", name=op.f("uq_operation_op_id")),
    )
    op.create_index(
        "ix_operation_unsettled",
        "operation",
        ["flow_id", "entity_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('planned', 'sent', 'unknown')"),
        postgresql_where=sa.text("state IN ('planned', 'sent', 'unknown')"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("op_digest", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(
        "uq_quarantine_open",
        "quarantine",
        ["flow_id", "entity_id", "member_id", "key"],
        unique=True,
        sqlite_where=sa.text("state IN ('open', 'retry', 'dropped')"),
        postgresql_where=sa.text("state IN ('open', 'retry', 'dropped')"),
    )
    op.create_table(
        "run",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("counts", sa.Text(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("exit", sa.Integer(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index("ix_run_flow_id_id", "run", ["flow_id", "id"], unique=False)
    op.create_table(
        "tombstone",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=True),
        sa.Column("base", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("own_time", sa.Text(), nullable=True),
        sa.Column("edited", sa.Text(), nullable=True),
        sa.Column("created", sa.Text(), nullable=True),
        sa.Column("moved_tick", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint_id", sa.Integer(), nullable=True),
        sa.Column("gone_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone")),
    )
    op.create_index("ix_tombstone_entity_id", "tombstone", ["entity_id"], unique=False)
    op.create_index("ix_tombstone_member_id_key", "tombstone", ["member_id", "key"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("values", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_.id"], name=op.f("fk_decision_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_case_id", "decision", ["case_id"], unique=False)
    op.create_index(
        "ix_decision_pending",
        "decision",
        ["flow_id", "entity_id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "hold_item",
        sa.Column("hold_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("op_digest", sa.Text(), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("added_run", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["hold_id"], ["hold.id"], name=op.f("fk_hold_item_hold_id")),
        sa.PrimaryKeyConstraint(
            "hold_id", "entity_id", "member", "op_digest", name=op.f("pk_hold_item")
        ),
    )
    op.create_index("ix_hold_item_entity_id", "hold_item", ["entity_id"], unique=False)
    op.create_table(
        "member",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("last_full_at", sa.Text(), nullable=True),
        sa.Column("listed_at", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.ForeignKeyConstraint(["flow_id"], ["flow.id"], name=op.f("fk_member_flow_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member")),
        sa.UniqueConstraint("flow_id", "name", name=op.f("uq_member_flow_id_name")),
    )
    op.create_table(
        "fingerprint",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("flow_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["flow_id"], ["flow.id"], name=op.f("fk_fingerprint_flow_id")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_fingerprint_member_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fingerprint")),
        sa.UniqueConstraint("member_id", "digest", name=op.f("uq_fingerprint_member_id_digest")),
    )


def downgrade() -> None:
    raise NotImplementedError("the store is never taken back; restore the backup instead")
