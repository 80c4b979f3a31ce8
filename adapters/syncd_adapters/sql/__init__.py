"""SQL databases: PostgreSQL, MySQL, MariaDB and SQLite natively, others through SQLAlchemy."""

from syncd_adapters.sql.adapter import factory

__all__ = ["factory"]
