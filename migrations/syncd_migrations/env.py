"""Runs the revisions on the connection, and inside the transaction, that the store hands in."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection


def run() -> None:
    connection = context.config.attributes["connection"]
    if not isinstance(connection, Connection) or not connection.in_transaction():
        raise RuntimeError("the store hands in a connection with an open transaction")
    # One transaction holds every revision: a killed upgrade has not happened at all.
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


run()
