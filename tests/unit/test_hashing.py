from __future__ import annotations

from syncd.core import hashing


def test_the_hashes_are_these() -> None:
    """They are kept in stores: another value for the same thing needs another HASH_VERSION."""
    assert hashing.HASH_VERSION == 1
    assert hashing.row_hash(b"", 0) == 3244421341483603138
    assert hashing.row_hash(b"x", 1) == -6101408510037184652
    assert hashing.seed("a") == 12841697258565137967
    assert hashing.key_hash(0, ("a", 1)) == -7532465637015843571
    assert hashing.digest({"b": 1, "a": (1, 2)}) == "ba709b0835e88dabd2d650d482199c63"


def test_in_block_like_one_by_one() -> None:
    raws = [str(n).encode() for n in range(500)]
    seed = hashing.seed("crm", "reader 1")
    block = hashing.row_hashes(raws, seed)
    assert block == [hashing.row_hash(raw, seed) for raw in raws]
    assert all(-(1 << 63) <= h < 1 << 63 for h in block)
    assert min(block) < 0 < max(block)
    assert hashing.row_hashes([], seed) == []


def test_order_of_fields_does_not_matter_and_content_does() -> None:
    assert hashing.digest({"a": 1, "b": None}) == hashing.digest({"b": None, "a": 1})
    forms: list[dict[str, object]] = [
        {},
        {"a": None},
        {"a": ""},
        {"a": "1"},
        {"a": 1},
        {"a": True},
        {"a": []},
        {"b": 1},
    ]
    assert len({hashing.digest(f) for f in forms}) == len(forms)


def test_parts_of_a_seed_do_not_run_together() -> None:
    assert hashing.seed("ab", "c") != hashing.seed("a", "bc")


def test_a_key_is_hashed_by_its_rule() -> None:
    assert hashing.key_hash(0, ("a@b.c",)) != hashing.key_hash(1, ("a@b.c",))
