"""Ids that a member gave away again: what was linked under them is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from syncd.core import keys
from syncd.core.model import Link, LinkState
from syncd.engine.context import RunContext
from syncd.store import shadow


def displace(
    conn: Connection, context: RunContext, member: str, made: Mapping[str, int], at: str
) -> None:
    """made: by native id, the entity of each record that a create of ours has just made there.

    A link that another entity has under such an id speaks of a record that was deleted since it
    was read. An excused one ends here. A live one moves to an id that no record has: the next
    read of the member finds its record missing, and the deletion is judged like any other.
    """
    linked = shadow.entities_of(conn, context.flow, member, list(made))
    taken = {entity for key, entity in linked.items() if made[key] != entity}
    if not taken:
        return
    moved: list[tuple[int, Link]] = []
    for entity in shadow.load_entities(conn, context.flow, sorted(taken)):
        link = entity.links[member]
        if link.state is LinkState.LIVE:
            link = replace(link, key=keys.displaced(link.key, entity.id), row_hash=None)
        else:
            link = replace(link, state=LinkState.GONE)
        moved.append((entity.id, link))
    shadow.settle_links(conn, context.flow, moved, at=at)
    shadow.mark_work(conn, dict.fromkeys(taken, True))
