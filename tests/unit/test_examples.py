"""The configs that users copy are read and compiled as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syncd.adapter import Column, ObjectSchema
from syncd.config import compile_flow, load, parse
from syncd.config.models import ColumnConfig, FieldConfig, FlowConfig, GuardConfig, MemberConfig
from syncd.core.rules import Policy

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"


def columns(text: str) -> dict[str, Column]:
    """`name:family` pairs."""
    made = {}
    for word in text.split():
        name, _, family = word.partition(":")
        digits, scale = (12, 2) if family == "decimal" else (None, None)
        made[name] = Column(name, family, family or "text", digits=digits, scale=scale)
    return made


SCHEMAS = {
    "crm": columns(
        "id:integer email firstname lastname postal_code phone credit:decimal currency labels:list "
        "last_seen:datetime photo:bytes updated_at:datetime created_at:datetime "
        "row_version:integer deleted_at:datetime"
    ),
    "erp": columns(
        "id:integer email display_name zip telephone credit_limit:decimal cur:integer tags:list "
        "last_seen:datetime photo:bytes changed:datetime"
    ),
    "webshop": columns("id:integer login full_name zip"),
}


def test_the_example_is_read_and_compiles() -> None:
    loaded = load(EXAMPLE)
    schemas = {
        name: ObjectSchema(name, facts, ("id",), generated=True) for name, facts in SCHEMAS.items()
    }
    flow = compile_flow(loaded, "customers", schemas)
    assert flow.every == 300 and flow.findings == ()
    assert [member.spec.receipts for member in flow.members.values()] == [True, False, False]
    assert flow.members["webshop"].system == "shop"
    assert ("credit", "currency") in flow.rules.groups
    assert flow.rules.fields["seen"].first == (Policy("newest"),)


@pytest.mark.parametrize(
    "model", [FlowConfig, FieldConfig, ColumnConfig, MemberConfig, GuardConfig]
)
def test_the_example_shows_every_key(
    model: type[FlowConfig | FieldConfig | ColumnConfig | MemberConfig | GuardConfig],
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    missing = [
        name for name in model.model_fields if not re.search(rf"(?m)(^|[ {{,#.\[]){name}\b", text)
    ]
    assert missing == []


def test_what_is_commented_out_is_the_default() -> None:
    """The keys shown as `# key = value` may be switched on without changing anything."""
    text = EXAMPLE.read_text(encoding="utf-8")
    keys = "delete_conflict|drift|grace|bridge|mode|read_lag"
    shown = re.findall(rf"(?m)^# ((?:{keys}) = .*)$", text)
    assert len(shown) == 6
    switched = text
    for line in shown:
        switched = switched.replace(f"# {line}", line)
    assert parse(switched).config == parse(text).config


@pytest.mark.parametrize(
    "path",
    sorted(p for p in (ROOT / "examples").rglob("*.toml") if "\n[systems." in p.read_text()),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_configs_of_the_examples_are_read(path: Path) -> None:
    assert load(path).config.flows


def test_the_configs_in_the_docs_are_read() -> None:
    """Blocks fenced as `toml` that hold a whole config."""
    seen = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"(?ms)^```toml\n(.*?)^```", path.read_text(encoding="utf-8")):
            if "[systems." in block and "[flows." in block:
                parse(block)
                seen += 1
    assert seen
