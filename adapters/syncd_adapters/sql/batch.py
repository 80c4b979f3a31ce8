"""The work of one transaction: writes, what is known of them in it, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncd.adapter import Native, Outcome, Row, Status, Write
from syncd.core import keys as codec
from syncd_adapters.sql.layout import Parts
from syncd_adapters.sql.tokens import promising


@dataclass(slots=True)
class Item:
    """A write with what is known of it inside the transaction."""

    write: Write
    values: dict[str, Native]
    parts: Parts | None = None
    before: Row | None = None


@dataclass(slots=True)
class Batch:
    """One transaction's work. made: keys the database made."""

    items: list[Item]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    made: list[Parts] = field(default_factory=list)


def promised(token: str, batch: Batch) -> str:
    """The token with what it may promise of this batch."""
    done = [batch.outcomes[item.write.op_id] for item in batch.items]
    whole = all(outcome.status is Status.APPLIED for outcome in done)
    keys = [codec.decode(o.key) if o.key else () for o in done] if whole and batch.made else []
    first = keys[0][0] if keys and len(keys[0]) == 1 else None
    ordered = isinstance(first, int) and keys == [(first + n,) for n in range(len(keys))]
    return promising(token, whole=whole, ordered=ordered)


def by_columns(items: list[Item]) -> list[list[Item]]:
    """Items that write the same columns together, in the order of their first."""
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        item.values = dict(sorted(item.values.items()))
        groups.setdefault(tuple(item.values), []).append(item)
    return list(groups.values())
