"""The shadow state in one door: flows and members, entities, links.

Every function takes a connection inside a transaction that `Store.read()` or `Store.write()`
opened; the number of a flow comes from `flow_id`. Reading order: `flows` (names become numbers),
`entities` (whole values), `links` (streams, look-ups, single links).
"""

from __future__ import annotations

from syncd.store.entities import (
    Save,
    all_entities,
    count_without,
    entities_by_key,
    load_entities,
    mark_all_work,
    mark_work,
    open_work,
    save_entities,
    save_keys,
    set_states,
    with_work,
)
from syncd.store.flows import (
    MemberState,
    fingerprint_mapping,
    fingerprint_mappings,
    fingerprints_of,
    flow_fingerprint,
    flow_id,
    flows,
    keyed,
    members,
    save_fingerprint,
    save_member,
    set_flow_fingerprint,
    set_keyed,
)
from syncd.store.links import (
    LinkRow,
    Tombstone,
    entities_of,
    entity_of,
    find_link,
    links_in_order,
    live_links,
    settle_links,
    tombstones,
)

__all__ = [
    "LinkRow",
    "MemberState",
    "Save",
    "Tombstone",
    "all_entities",
    "count_without",
    "entities_by_key",
    "entities_of",
    "entity_of",
    "find_link",
    "fingerprint_mapping",
    "fingerprint_mappings",
    "fingerprints_of",
    "flow_fingerprint",
    "flow_id",
    "flows",
    "keyed",
    "links_in_order",
    "live_links",
    "load_entities",
    "mark_all_work",
    "mark_work",
    "members",
    "open_work",
    "save_entities",
    "save_fingerprint",
    "save_keys",
    "save_member",
    "set_flow_fingerprint",
    "set_keyed",
    "set_states",
    "settle_links",
    "tombstones",
    "with_work",
]
