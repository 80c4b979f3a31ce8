"""PostgreSQL: whether a COMMIT that was never answered happened.

Each store writes a row of its own in every transaction. When the connection breaks at COMMIT,
another one reads that row: it holds the transaction's number iff it was committed. (Transaction
ids would not do: after a crash of the server they may be given again.)
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from syncd.errors import StoreBusy
from syncd.seams import Seams
from syncd.store.connect import Place

_PAUSE = 0.2  # seconds between two questions
_KEPT = "7 days"  # how long the row of a killed process stays


class CommitMark:
    """One a store. Rows are kept in `meta` as "<number> <day>"."""

    def __init__(self, place: Place, seams: Seams, patience: float) -> None:
        self._place = place
        self._seams = seams
        self._patience = patience
        self._key = f"commit:{seams.ids.new()}"
        self._number = 0

    def set(self, conn: Connection) -> None:
        """The last statement of a transaction."""
        if not self._number:
            self._forget_killed(conn)
        self._number += 1
        conn.execute(
            text(
                "INSERT INTO meta (key, value) VALUES (:key, :number || ' ' || "
                "to_char(clock_timestamp(), 'YYYY-MM-DD')) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            {"key": self._key, "number": str(self._number)},
        )

    def ask(self, engine: Engine, error: DBAPIError) -> None:
        """Returns if the last transaction is in the store. Raises StoreBusy: SY0434 if it is not,
        SY0433 if the database does not come back to say."""
        deadline = self._seams.clock.monotonic() + self._patience
        # The upsert waits for a commit that is still under way, since that holds the row.
        question = text(
            "INSERT INTO meta (key, value) VALUES (:key, '0 2000-01-01') "
            "ON CONFLICT (key) DO UPDATE SET value = meta.value RETURNING value"
        )
        while True:
            try:
                with engine.begin() as conn:
                    value = conn.execute(question, {"key": self._key}).scalar_one()
            except DBAPIError:
                if self._seams.clock.monotonic() >= deadline:
                    raise StoreBusy(
                        "the state's database went away while a transaction was being committed; "
                        "whether it was is not known yet",
                        code="SY0433",
                        where=self._place.name,
                        hint="Run again when the database is back: the run reads what was "
                        "recorded and settles what was sent.",
                    ) from error
                self._seams.sleep(_PAUSE)
                continue
            if int(str(value).split()[0]) == self._number:
                return
            raise StoreBusy(
                "the state's database went away before a transaction was committed",
                code="SY0434",
                where=self._place.name,
                hint="Nothing of that step was recorded; run again.",
            ) from error

    def remove(self, engine: Engine) -> None:
        """The store is closed in order: nobody will ask any more."""
        if self._number:
            with engine.begin() as conn:
                conn.execute(text("DELETE FROM meta WHERE key = :key"), {"key": self._key})

    @staticmethod
    def _forget_killed(conn: Connection) -> None:
        conn.execute(
            text(
                "DELETE FROM meta WHERE key LIKE 'commit:%' AND "
                "CAST(split_part(value, ' ', 2) AS timestamptz) "
                f"< clock_timestamp() - interval '{_KEPT}'"
            )
        )
