"""The refusals: which states are not worked on, and the way out of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import syncd_migrations
from syncd.errors import StoreRefused
from syncd.store import sidecar
from syncd.store.connect import Place
from syncd.store.lifecycle import Facts

if TYPE_CHECKING:
    from syncd.store.database import Store


def admit(found: Facts, place: Place, *, deployment: str | None, state_dir: Path) -> None:
    """Raises StoreRefused for a state that must not be worked on, with the way out."""
    admit_revision(found, place)
    known = admit_owner(found, place, deployment=deployment, state_dir=state_dir)
    if found.tick < known.tick:
        raise StoreRefused(
            f"this state is older than what was done: it stands at {found.tick}, "
            f"but had come to {known.tick}; it was probably restored from a backup",
            code="SY0409",
            where=place.name,
            hint="Run `syncd state rebuild`: the records are linked anew; nothing is deleted or "
            "created without you.",
        )


def admit_owner(
    found: Facts, place: Place, *, deployment: str | None, state_dir: Path
) -> sidecar.Sidecar:
    """What this machine knows of the state. Raises StoreRefused for another deployment's."""
    if deployment is not None and deployment != found.deployment:
        raise _foreign(found, place, f"this config is of deployment {deployment}")
    known = sidecar.read(state_dir, found.deployment)
    if known is None:
        raise _foreign(found, place, f"nothing in {state_dir} knows of it")
    return known


def admit_revision(found: Facts, place: Place) -> None:
    """Raises StoreRefused unless the schema is exactly the one this syncd writes."""
    newest = syncd_migrations.REVISIONS[-1]
    refuse_newer(found, place)
    if found.revision != newest:
        raise StoreRefused(
            f"this state is of an older syncd (schema {found.revision}, now {newest})",
            code="SY0407",
            where=place.name,
            hint="Run `syncd state upgrade`; it makes a backup first.",
        )


def refuse_newer(found: Facts, place: Place) -> None:
    revisions = syncd_migrations.REVISIONS
    if found.revision not in revisions:
        raise StoreRefused(
            f"this state is of a newer syncd (schema {found.revision}, this one knows "
            f"{revisions[-1]})",
            code="SY0406",
            where=place.name,
            hint="Use the newer syncd. A state is never taken back to an older schema; the way "
            "back is the backup that `syncd state upgrade` made.",
        )


def missing(place: Place, state_dir: Path, *, create: bool) -> None:
    """For an empty address: raises StoreRefused where one was, or where none may be made."""
    for seen in sidecar.known(state_dir):
        if seen.store == place.name and seen.tick > 0:
            raise StoreRefused(
                f"the state is gone: deployment {seen.deployment} had come to {seen.tick}",
                code="SY0430",
                where=place.name,
                hint="Put the file (or schema) back, or run `syncd state rebuild`: the records "
                "are linked anew; nothing is deleted or created without you.",
            )
    if not create:
        raise StoreRefused(
            "there is no state yet",
            code="SY0403",
            where=place.name,
            hint="The first `syncd reconcile` makes it. If there should be one, look at [state] "
            "url and at $STATE_DIRECTORY.",
        )


def check_counters(store: Store, known: Mapping[str, int | None]) -> None:
    """`known`: by system, the highest tick it has a receipt of; None where it keeps none.

    Raises StoreRefused where a system knows of more than the state does.
    """
    if not known:
        return
    with store.read() as conn:
        tick = store.last_tick(conn)
    ahead = {system: seen for system, seen in known.items() if seen is not None and seen > tick}
    if ahead:
        system, seen = max(ahead.items(), key=lambda item: (item[1], item[0]))
        raise StoreRefused(
            f"this state is older than what was done: {system} has a receipt of {seen}, the state "
            f"stands at {tick}",
            code="SY0431",
            where=store.place.name,
            hint="Run `syncd state rebuild`: the records are linked anew; nothing is deleted or "
            "created without you.",
        )


def _foreign(found: Facts, place: Place, why: str) -> StoreRefused:
    return StoreRefused(
        f"this state belongs to deployment {found.deployment}; {why}",
        code="SY0408",
        where=place.name,
        hint="A copied config needs a state of its own: change [state] url. If config and state "
        "were moved here and run nowhere else, run `syncd state doctor --adopt`.",
    )
