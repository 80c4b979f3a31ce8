"""What every adapter promises, as tests to inherit.

    class TestMine(AdapterContract):
        @pytest.fixture
        def world(self): return MyWorld(…)

The world is the system under the adapter, reached without it: it makes the object `people` with
the fields `name`, `email` (unique) and `note` (not mapped), keyed by a number the system makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from syncd.adapter import (
    Adapter,
    Endpoint,
    EndpointSpec,
    Outcome,
    Row,
    Snapshot,
    Status,
    Write,
)
from syncd.core import keys
from syncd.core.model import OpKind


class World(Protocol):
    """The system itself."""

    people: str  # the object's name

    def adapter(self) -> Adapter: ...

    def add(self, **values: Any) -> int:
        """Makes a record as somebody else would; returns its number."""

    def edit(self, number: int, **values: Any) -> None: ...

    def remove(self, number: int) -> None: ...

    def all(self) -> dict[int, dict[str, Any]]:
        """Every record by number, unmapped fields too."""


FIELDS = ("name", "email")


def go(write: Write, row: Row | None) -> str | None:
    """The precondition that always holds."""
    return None


def forget(token: str) -> None:
    """A journal that needs no tokens, since nothing is killed."""


def key(number: int) -> str:
    return keys.encode([number])


def create(op_id: str, **values: Any) -> Write:
    return Write(op_id, OpKind.CREATE, None, values)


def update(op_id: str, number: int, **values: Any) -> Write:
    return Write(op_id, OpKind.UPDATE, key(number), values)


def delete(op_id: str, number: int) -> Write:
    return Write(op_id, OpKind.DELETE, key(number))


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status.value for outcome in outcomes]


def read_all(snapshot: Snapshot) -> dict[str, Row]:
    """Every row by key; fails on an order that is not that of the keys."""
    rows: dict[str, Row] = {}
    last = ""
    for block in snapshot.blocks():
        assert len(block.keys) == len(block.raws) > 0
        for at, raw in zip(block.keys, block.raws, strict=True):
            assert at > last
            last = at
            row = snapshot.decode(raw)
            assert (row.key, row.raw) == (at, raw)
            rows[at] = row
    return rows


def snapshot_of(endpoint: Endpoint) -> dict[str, Row]:
    with endpoint.snapshot() as snapshot:
        return read_all(snapshot)


class AdapterContract:
    """Inherit, and give a `world`."""

    def open(self, world: World, **options: Any) -> Endpoint:
        spec = EndpointSpec(world.people, FIELDS, frozenset(FIELDS), **options)
        return world.adapter().open(spec)

    # -- reading -----------------------------------------------------------------------------

    def test_a_snapshot_is_every_record_once_in_key_order(self, world: World) -> None:
        made = {key(world.add(name=f"n{n}", email=f"e{n}")): n for n in range(25)}
        endpoint = self.open(world)
        with endpoint.snapshot() as snapshot:
            rows = read_all(snapshot)
            assert snapshot.complete
        assert {k: dict(row.values) for k, row in rows.items()} == {
            k: {"name": f"n{n}", "email": f"e{n}"} for k, n in made.items()
        }

    def test_an_empty_object_reads_as_nothing_and_complete(self, world: World) -> None:
        with self.open(world).snapshot() as snapshot:
            assert read_all(snapshot) == {}
            assert snapshot.complete

    def test_s5_equal_records_have_equal_raws_and_changed_ones_do_not(self, world: World) -> None:
        number = world.add(name="a", email="e")
        endpoint = self.open(world)
        first = snapshot_of(endpoint)[key(number)].raw
        world.edit(number, name="b")
        changed = snapshot_of(endpoint)[key(number)].raw
        world.edit(number, name="a")
        assert first != changed
        assert snapshot_of(endpoint)[key(number)].raw == first

    def test_keys_are_those_of_the_snapshot(self, world: World) -> None:
        for n in range(12):
            world.add(name="n", email=f"e{n}")
        endpoint = self.open(world)
        with endpoint.keys() as snapshot:
            found = [k for block in snapshot.blocks() for k in block.keys]
            assert snapshot.complete
        assert found == list(snapshot_of(endpoint))

    def test_get_gives_the_rows_that_exist_as_a_snapshot_would(self, world: World) -> None:
        number = world.add(name="a", email="e")
        endpoint = self.open(world)
        (row,) = endpoint.get([key(number), key(number + 1000)])
        assert row == snapshot_of(endpoint)[key(number)]
        assert endpoint.get([]) == []

    def test_s52_null_and_empty_are_told_apart(self, world: World) -> None:
        nothing, empty = world.add(name="n", email=None), world.add(name="", email="")
        rows = snapshot_of(self.open(world))
        assert rows[key(nothing)].values["email"] is None
        assert rows[key(empty)].values == {"name": "", "email": ""}

    def test_f42_any_text_survives_the_way_there_and_back(self, world: World) -> None:
        texts = ["tab\tnewline\ncr\r", "\\N", "\\", "'\"`%s:x;--", "ß İ 😀 e\u0301", " a ", "a,b{}"]
        endpoint = self.open(world)
        outcomes = endpoint.apply(
            [create(f"o{n}", name=text, email=f"e{n}") for n, text in enumerate(texts)], go, forget
        )
        rows = snapshot_of(endpoint)
        assert [rows[o.key or ""].values["name"] for o in outcomes] == texts

    # -- writing -----------------------------------------------------------------------------

    def test_creates_answer_with_key_and_the_row_as_it_stands(self, world: World) -> None:
        endpoint = self.open(world)
        writes = [create(f"o{n}", name=f"n{n}", email=f"e{n}") for n in range(7)]
        outcomes = endpoint.apply(writes, go, forget)
        assert [o.op_id for o in outcomes] == [w.op_id for w in writes]
        assert statuses(outcomes) == ["applied"] * 7
        rows = snapshot_of(endpoint)
        for outcome, write in zip(outcomes, writes, strict=True):
            assert outcome.after == rows[outcome.key or ""]
            assert outcome.after.values == write.values

    def test_s1_an_update_writes_the_given_fields_and_no_other(self, world: World) -> None:
        number = world.add(name="a", email="e", note="keep")
        endpoint = self.open(world)
        (outcome,) = endpoint.apply([update("o", number, name="b")], go, forget)
        assert outcome.status is Status.APPLIED
        assert outcome.before is not None and outcome.before.values["name"] == "a"
        assert outcome.after == snapshot_of(endpoint)[key(number)]
        assert world.all()[number] == {"name": "b", "email": "e", "note": "keep"}

    def test_updates_of_different_fields_go_in_one_batch(self, world: World) -> None:
        numbers = [world.add(name="a", email=f"e{n}") for n in range(4)]
        writes = [
            update("o0", numbers[0], name="x"),
            update("o1", numbers[1], email="y"),
            update("o2", numbers[2], name="x2", email="y2"),
            update("o3", numbers[3]),
        ]
        outcomes = self.open(world).apply(writes, go, forget)
        assert statuses(outcomes) == ["applied"] * 4
        now = world.all()
        assert [(now[n]["name"], now[n]["email"]) for n in numbers] == [
            ("x", "e0"),
            ("a", "y"),
            ("x2", "y2"),
            ("a", "e3"),
        ]

    def test_s41_a_precondition_that_fails_leaves_the_record_alone(self, world: World) -> None:
        kept, moved = world.add(name="a", email="1"), world.add(name="a", email="2")
        endpoint = self.open(world)
        world.edit(moved, name="theirs")

        def unmoved(write: Write, row: Row | None) -> str | None:
            return None if row is not None and row.values["name"] == "a" else "name moved"

        outcomes = endpoint.apply(
            [update("o1", kept, name="ours"), update("o2", moved, name="ours")], unmoved, forget
        )
        assert statuses(outcomes) == ["applied", "stale"]
        assert outcomes[1].error == "name moved"
        assert outcomes[1].before is not None and outcomes[1].before.values["name"] == "theirs"
        assert world.all()[moved]["name"] == "theirs"
        (outcome,) = endpoint.apply([delete("o3", moved)], unmoved, forget)
        assert outcome.status is Status.STALE
        assert moved in world.all()

    def test_s46_f21_f27_a_refused_record_takes_no_other_with_it(self, world: World) -> None:
        world.add(name="there", email="taken")
        endpoint = self.open(world)
        bad = {3, 11, 12}
        writes = [
            create(f"o{n:02}", name=f"n{n}", email="taken" if n in bad else f"e{n}")
            for n in range(20)
        ]
        outcomes = endpoint.apply(writes, go, forget)
        assert {n for n, o in enumerate(outcomes) if o.status is Status.REJECTED} == bad
        assert {n for n, o in enumerate(outcomes) if o.status is Status.APPLIED} == {
            *range(20)
        } - bad
        assert all(outcomes[n].error for n in bad)
        assert len(world.all()) == 18

    def test_s46_a_refused_update_takes_no_other_with_it(self, world: World) -> None:
        world.add(name="there", email="taken")
        numbers = [world.add(name="a", email=f"e{n}") for n in range(9)]
        writes = [
            update(f"o{n}", number, email="taken" if n == 4 else f"new{n}")
            for n, number in enumerate(numbers)
        ]
        outcomes = self.open(world).apply(writes, go, forget)
        assert statuses(outcomes) == ["applied"] * 4 + ["rejected"] + ["applied"] * 4
        now = world.all()
        assert [now[n]["email"] for n in numbers] == [
            "e4" if n == 4 else f"new{n}" for n in range(9)
        ]

    def test_s44_f28_a_create_that_exists_names_the_record(self, world: World) -> None:
        there = world.add(name="there", email="taken")
        (outcome,) = self.open(world).apply([create("o", name="x", email="taken")], go, forget)
        assert outcome.status is Status.REJECTED
        assert outcome.exists == key(there)

    def test_f29_deleting_what_is_gone_succeeds_and_updating_it_is_stale(
        self, world: World
    ) -> None:
        number, gone = world.add(name="a", email="1"), world.add(name="a", email="2")
        world.remove(gone)
        endpoint = self.open(world)
        outcomes = endpoint.apply([delete("o1", number), delete("o2", gone)], go, forget)
        assert statuses(outcomes) == ["applied", "applied"]
        assert world.all() == {}
        (outcome,) = endpoint.apply([update("o3", gone, name="b")], go, forget)
        assert outcome.status is Status.STALE

    def test_f23_an_update_applied_twice_equals_once(self, world: World) -> None:
        number = world.add(name="a", email="1")
        endpoint = self.open(world)
        for _ in range(2):
            (outcome,) = endpoint.apply([update("o", number, name="b")], go, forget)
            assert outcome.status is Status.APPLIED
        assert world.all()[number]["name"] == "b"

    def test_i6_a_field_not_granted_is_never_written(self, world: World) -> None:
        number = world.add(name="a", email="1", note="keep")
        spec = EndpointSpec(world.people, FIELDS, frozenset({"name"}))
        endpoint = world.adapter().open(spec)
        try:
            endpoint.apply([update("o", number, email="2")], go, forget)
        except Exception as refused:
            assert "email" in str(refused)
        assert world.all()[number] == {"name": "a", "email": "1", "note": "keep"}

    # -- lost acknowledgements ---------------------------------------------------------------

    def test_f17_s43_what_was_committed_is_found_with_its_keys(self, world: World) -> None:
        endpoint = self.open(world)
        if not endpoint.capabilities.settles:
            return
        tokens: list[str] = []
        writes = [create(f"o{n}", name=f"n{n}", email=f"e{n}") for n in range(5)]
        done = endpoint.apply(writes, go, tokens.append)
        found = endpoint.settle(writes, tokens[-1] if tokens else None)
        assert [(o.status, o.key) for o in found] == [(Status.APPLIED, o.key) for o in done]
        assert len(world.all()) == 5

    def test_f17_what_was_never_committed_is_known_not_to_have_happened(self, world: World) -> None:
        endpoint = self.open(world)
        number = world.add(name="a", email="here")
        writes = [create("o1", name="n", email="e")]
        if endpoint.capabilities.settles:
            assert statuses(endpoint.settle(writes, None)) == ["stale"]
        assert statuses(endpoint.settle([delete("o3", number)], None)) == ["stale"]

    def test_s43_an_update_or_delete_is_settled_by_reading(self, world: World) -> None:
        endpoint = self.open(world)
        number, gone = world.add(name="a", email="1"), world.add(name="a", email="2")
        tokens: list[str] = []
        endpoint.apply([update("o1", number, name="b")], go, tokens.append)
        last = tokens[-1] if tokens else None
        (found,) = endpoint.settle([update("o1", number, name="b")], last)
        assert found.status is Status.APPLIED
        assert found.after is not None and found.after.values["name"] == "b"
        tokens.clear()
        endpoint.apply([delete("o2", gone)], go, tokens.append)
        (found,) = endpoint.settle([delete("o2", gone)], tokens[-1] if tokens else None)
        assert found.status is Status.APPLIED
