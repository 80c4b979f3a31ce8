"""Mistakes about who is who."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from defects.plant import defect
from syncd.core import link
from syncd.core.model import Fields
from syncd.core.rules import FlowRules
from syncd.core.values import blank
from syncd.engine import buckets, collect, linking, proof
from syncd.store import shadow


@defect("I4", (linking, "resolve"))
def unlinked_records_apart(
    resolve: Callable[..., list[Any]], rules: FlowRules, records: Sequence[Any], *rest: Any
) -> list[Any]:
    """Candidates for a new record are sought among the linked ones only."""
    return [found for record in records for found in resolve(rules, [record], *rest)]


@defect("I4", (shadow, "entities_by_key"))
def linked_records_forgotten(by_key: Callable[..., Any], *question: Any) -> Mapping[int, Any]:
    """Candidates for a new record are sought among the unlinked ones only."""
    return {}


@defect(
    "I4",
    (link, "match_keys"), (proof, "match_keys"), (buckets, "match_keys"), (collect, "match_keys"),
)  # fmt: skip
def keys_not_folded(match_keys: Callable[..., Any], rules: FlowRules, fields: Fields) -> Any:
    """Match keys are compared to the letter."""
    return [
        (index, tuple(fields[name] for name in names))
        for index, names in enumerate(rules.match)
        if all(name in fields and not blank(fields[name]) for name in names)
    ]


@defect("I4", (linking, "_asked"))
def ambiguous_taken_for_new(
    asked: Callable[..., Any], context: Any, conn: Any, case: Any, entities: Any, free: Any
) -> list[Any]:
    """Records of which nobody knows whose they are become things of their own."""
    return [(0, linking._fresh((one,))) for one in free]
