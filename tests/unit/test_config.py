"""The config: what is refused, with which line and way out, and what the rest comes to."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.adapter import Column, ObjectSchema
from syncd.config import (
    ConfigErrors,
    Loaded,
    check_shared,
    compile_flow,
    find,
    load,
    parse,
)
from syncd.config.lines import scan
from syncd.config.schema import text as schema_text
from syncd.config.words import duration
from syncd.core.rules import Deletes, GuardLimit, Policy
from syncd.errors import ConfigError

ROOT = Path(__file__).parents[2]

BASE = """
[systems.crm]
connector = "sql"
url = "env:CRM_URL"

[systems.erp]
connector = "sql"
url = "env:ERP_URL"
receipts = true

[flows.customers]
match = ["email"]
conflict = "newest"
first = "prefer:erp"
deletes = "propagate"

[flows.customers.fields]
email = { type = "text", fold = ["trim", "lower"] }
name = "text"
credit = { type = "decimal(12,2)", owner = "erp" }
tags = { type = "set", conflict = "merge" }

[flows.customers.members.crm]
object = "contacts"
modified = "updated_at"
fields.email = "email"
fields.name = { native = ["firstname", "lastname"], lens = "words" }
fields.credit = "credit"
fields.tags = "labels"

[flows.customers.members.erp]
object = "public.customers"
modified = "changed"
fields = { email = "email", name = "display_name", credit = "credit_limit", tags = "tags" }
"""


def edited(old: str, new: str, text: str = BASE) -> str:
    assert old in text
    return text.replace(old, new, 1)


def line_with(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


# --- one message a mistake: code, line, table path, the way out -------------------------------

MISTAKES = [
    # old, new, code, part of the line blamed, in the message, in the hint
    ('owner = "erp"', 'ownr = "erp"', "SY0103", "ownr", "ownr", "owner"),
    ('match = ["email"]', 'mach = ["email"]', "SY0103", "mach", "unknown key `mach`", "match"),
    ('conflict = "newest"', 'conflict = "latest"', "SY0104", "latest", "no policy", ""),
    (
        'deletes = "propagate"',
        'deletes = "propogate"',
        "SY0104",
        "propog",
        "not one of",
        "propagate",
    ),
    ('object = "contacts"', "", "SY0105", "members.crm]", "`object` is missing", "object ="),
    ('connector = "sql"\n', "", "SY0105", "systems.crm]", "`connector` is missing", "sql"),
    ('object = "contacts"', "object = 7", "SY0104", "object = 7", "not a number", ""),
    ('object = "contacts"', 'object = "c"\nwhere = "x"', "SY0107", "where", "not available", "out"),
    ('"newest"', '"newest"\nwhere = "x"', "SY0107", 'where = "x"', "not available", "out"),
    ("members.crm]", "members.crn]", "SY0110", "members.crn", "no system `crn`", "`crm`"),
    ('object = "contacts"', 'object = "c"\nsystem = "x"', "SY0110", 'system = "x"', "`x`", "crm"),
    ("prefer:erp", "prefer:epr", "SY0111", "prefer:epr", "no member `epr`", "`erp`"),
    ('owner = "erp"', 'owner = "ep"', "SY0111", 'owner = "ep"', "no member `ep`", "`erp`"),
    ('match = ["email"]', 'match = ["emial"]', "SY0112", "match", "no field `emial`", "`email`"),
    ('match = ["email"]', 'match = "email"', "SY0104", "match", 'a list like ["email"]', ""),
    ('name = "text"', "name = 5", "SY0104", "name = 5", "a table is needed here", ""),
    ('name = "text"', 'name = "text(0)"', "SY0171", "text(0)", "how many characters", "text(80)"),
    ('"decimal(12,2)"', '"decimal(2,5)"', "SY0171", "(2,5)", "more decimals than digits", "12,2"),
    ("fields.tags", "fields.tag", "SY0112", "fields.tag", "no field `tag`", "`tags`"),
    ('name = "text"', 'name = "text"\nlone = "text"', "SY0114", "lone", "no member maps", "map it"),
    ('match = ["email"]', 'match = ["tags"]', "SY0115", "match", "is a set", ""),
    ('fields.email = "email"\n', "", "SY0115", "match", "not mapped by crm", ""),
    ('owner = "erp"', 'conflict = "merge"', "SY0117", "credit = {", "joins sets", "set"),
    ('conflict = "merge"', 'conflict = "prefer:x"', "SY0111", "tags = {", "no member `x`", ""),
    ('deletes = "propagate"', 'deletes = "archive"', "SY0119", "members.crm]", "soft_delete", "="),
    ('"newest"', '"newest"\ndeletes_from = ["x"]', "SY0111", "deletes_from", "no member `x`", ""),
    ('"newest"', '"newest"\ndeletes_from = "crm"', "SY0104", "deletes_from", '["crm"]', ""),
    (
        '"newest"',
        '"newest"\ngroups = [["name", "credit"]]',
        "SY0120",
        "credit =",
        "`owner`",
        "same",
    ),
    ('"newest"', '"newest"\ngroups = [["name"]]', "SY0120", "groups", "two fields", ""),
    ('"newest"', '"newest"\ngroups = [["name", "nam"]]', "SY0112", "groups", "`nam`", "`name`"),
    ('"newest"', '"newest"\nevery = "5 parsecs"', "SY0104", "every", "no duration", ""),
    ('"newest"', '"newest"\ncron = "61 * * * *"', "SY0104", "cron", "no cron line", ""),
    ('"newest"', '"newest"\nevery = "5m"\ncron = "* * * * *"', "SY0104", "cron", "both", "one"),
    ('"newest"', '"newest"\nguard = { deletes = "lots" }', "SY0104", "guard", "no share", ""),
    ('"newest"', '"newest"\nguard = { delets = 3 }', "SY0103", "guard", "delets", "deletes"),
    ('"newest"', '"newest"\nbridge = "yes"', "SY0104", "bridge", "not one of", ""),
    ('url = "env:CRM_URL"', 'url = "mysql://u:hunter2@h/d"', "SY0140", "hunter2", "secret", "env:"),
    ('url = "env:CRM_URL"', 'token = "hunter2"', "SY0140", "hunter2", "secret", "CRM_TOKEN"),
    ('name = "text"', 'name = "txt"', "SY0171", 'name = "txt"', "txt", "text"),
    ('["trim", "lower"]', '["trim", "lowr"]', "SY0172", "lowr", "lowr", "lower"),
    (
        '"public.customers"',
        '"c"\nversion = "email"',
        "SY0118",
        "fields = {",
        "version",
        "read_only",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "code", "blamed", "says", "hints"), MISTAKES, ids=[m[1][:30] for m in MISTAKES]
)
def test_each_mistake_has_its_line_its_code_and_a_way_out(
    old: str, new: str, code: str, blamed: str, says: str, hints: str
) -> None:
    text = edited(old, new)
    error = refused(text)
    errors = error.errors if isinstance(error, ConfigErrors) else (error,)
    found = next((e for e in errors if e.code == code and says in e.message), None)
    assert found is not None, [str(e) for e in errors]
    assert found.where == f"syncd.toml:{line_with(text, blamed)}"
    assert hints in found.hint
    assert "hunter2" not in f"{error} {error.hint} {error!r}"


def test_the_table_path_is_named() -> None:
    error = refused(edited('owner = "erp"', 'ownr = "erp"'))
    assert str(error).startswith("syncd.toml:20: flows.customers.fields.credit.ownr: unknown key")


def test_several_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = edited('conflict = "newest"', 'conflict = "prefer:x"')
    error = refused(edited('owner = "erp"', 'owner = "y"', text))
    assert isinstance(error, ConfigErrors)
    assert [found.code for found in error.errors] == ["SY0111", "SY0111"]
    assert "`x`" in error.errors[0].message and "`y`" in error.errors[1].message
    assert "`y`" in str(error), "the text tells them all"
    assert error.exit_code == 2


def test_text_that_is_no_toml_has_its_line() -> None:
    error = refused('[systems.crm\nconnector = "sql"')
    assert error.code == "SY0102" and error.where == "syncd.toml:1"


def test_a_key_standing_twice_is_refused() -> None:
    assert refused(BASE + '\n[systems.crm]\nconnector = "sql"\n').code == "SY0102"


@pytest.mark.parametrize(
    ("crm", "erp", "says"),
    [
        ("source", "source", "no member is a target"),
        ("target", "target", "no member is a source"),
    ],
)
def test_a_flow_needs_a_source_and_a_target(crm: str, erp: str, says: str) -> None:
    text = edited('"contacts"', f'"contacts"\nmode = "{crm}"')
    error = refused(edited('"public.customers"', f'"public.customers"\nmode = "{erp}"', text))
    assert says in str(error) and error.code == "SY0113"


def test_one_member_alone_is_refused() -> None:
    text = BASE.partition("[flows.customers.members.erp]")[0]
    text = text.replace("prefer:erp", "newest").replace(', owner = "erp"', "")
    error = refused(text)
    assert any(
        e.code == "SY0113" for e in (error.errors if isinstance(error, ConfigErrors) else [error])
    )


def test_an_owner_that_cannot_own_is_refused() -> None:
    target = edited('"public.customers"', '"public.customers"\nmode = "target"')
    assert "only a target" in str(refused(target))
    unmapped = edited('credit = "credit_limit", ', "")
    assert "does not map" in str(refused(unmapped))


def test_names_that_stand_for_something_else_are_refused() -> None:
    text = BASE.replace("members.erp", "members.agreed").replace("prefer:erp", "newest")
    error = refused(text.replace(', owner = "erp"', ""))
    assert "SY0106" in {e.code for e in getattr(error, "errors", [error])}
    assert refused(BASE.replace("flows.customers", 'flows."a b"')).code == "SY0106"


SECOND = """
[flows.billing]
match = ["email"]
[flows.billing.fields]
email = "text"
[flows.billing.members.crm]
object = "contacts"
fields = { email = "EMAIL" }
[flows.billing.members.erp]
object = "invoices"
fields = { email = "email" }
"""


def test_two_flows_writing_one_native_field_are_refused() -> None:
    error = refused(BASE + SECOND.replace("EMAIL", "email"))
    assert error.code == "SY0118" and "flow `customers` too" in str(error)
    parse(BASE + SECOND.replace("EMAIL", "billing_email"))
    parse(BASE + SECOND.replace('"EMAIL"', '{ native = "email", read_only = true }'))


def test_two_systems_with_one_url_are_one_database() -> None:
    other = '\n[systems.crm2]\nconnector = "sql"\nurl = "env:CRM_URL"\n'
    second = SECOND.replace("members.crm]", "members.crm2]").replace("EMAIL", "email")
    assert refused(BASE + other + second).code == "SY0118"


def test_an_object_takes_part_once_in_a_flow() -> None:
    text = BASE.replace('"public.customers"', '"contacts"\nsystem = "crm"')
    error = refused(text)
    assert "SY0122" in {e.code for e in getattr(error, "errors", [error])}


# --- what is read ----------------------------------------------------------------------------


def test_short_and_long_spellings_mean_the_same() -> None:
    loaded = parse(BASE)
    flow = loaded.config.flows["customers"]
    assert flow.fields["name"].type == "text"
    assert flow.members["erp"].fields["name"].native == ("display_name",)
    assert flow.first == (Policy("prefer", ("erp",)),)
    assert flow.match == (("email",),)
    assert flow.guard.deletes.percent == 5.0 and flow.guard.updates.percent == 40.0
    assert flow.guard.creates.percent is None and flow.guard.floor == 10
    assert loaded.receipts("customers", "erp") and not loaded.receipts("customers", "crm")
    assert loaded.system("erp").options == {"url": "env:ERP_URL"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2),
        ("5m", 300),
        ("1h 30m", 5400),
        ("24h", 86400),
        ("250ms", 0.25),
        (7, 7),
        ("1d", 86400),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m x", True, None, -1])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration(text)


def test_guard_limits() -> None:
    limits = '{ deletes = 3, updates = "off", creates = { percent = 50, count = 9 }, floor = 0 }'
    guard = parse(edited('"newest"', f'"newest"\nguard = {limits}')).config.flows["customers"].guard
    assert (guard.deletes.count, guard.deletes.percent) == (3, None)
    assert (guard.updates.count, guard.updates.percent) == (None, None)
    assert (guard.creates.count, guard.creates.percent) == (9, 50.0)
    assert guard.floor == 0


def test_findings_tell_what_is_allowed_but_odd() -> None:
    text = edited('modified = "updated_at"\n', "")
    text = edited('match = ["email"]\n', "", text) + '\n[systems.idle]\nconnector = "sql"\n'
    found = [str(finding) for finding in parse(text).findings]
    assert any("`newest` cannot judge edits of crm" in f for f in found)
    assert any("without `match`" in f for f in found)
    assert any("no flow uses this system" in f for f in found)
    assert all(re.match(r"syncd\.toml:\d+: ", f) for f in found)
    assert parse(BASE).findings == ()


def test_lines_are_found_in_every_spelling_of_toml() -> None:
    text = (
        "# a comment = [1]\n"  # 1
        'a.b."c d" = 1\n'  # 2
        "[t]\n"  # 3
        's = """\nx = 1\n"""  # tail\n'  # 4..6
        "l = [\n  1, # one\n  { k = 'v' },\n]\n"  # 7..10
        "[t.'u'.\"w\\u0041\"]\n"  # 11
        "i = { x = { y = 2 }, z = [ ] }\n"  # 12
        "[[p]]\nq = '''a'b'''\n"  # 13, 14
        "at = 1979-05-27T07:32:00Z\nlast = 1"  # 15, 16
    )
    lines = scan(text)
    assert lines["a", "b", "c d"] == 2
    assert lines["t", "s"] == 4 and ("x",) not in lines
    assert lines["t", "l"] == 7 and lines["t", "l", "k"] == 9
    assert lines["t", "u", "wA"] == 11
    assert lines["t", "u", "wA", "i", "x", "y"] == 12
    assert lines["p", "q"] == 14 and lines["p", "at"] == 15 and lines["p", "last"] == 16


# --- where it is found -----------------------------------------------------------------------


def test_the_config_is_found_in_the_order_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, by_env, here, xdg = (tmp_path / name for name in ("g.toml", "e.toml", "here", "xdg"))
    here.mkdir()
    (xdg / "syncd").mkdir(parents=True)
    for path in (given, by_env, here / "syncd.toml", xdg / "syncd" / "syncd.toml"):
        path.write_text("")
    monkeypatch.chdir(here)
    environ = {"SYNCD_CONFIG": str(by_env), "XDG_CONFIG_HOME": str(xdg), "HOME": str(tmp_path)}
    assert find(str(given), environ) == given
    assert find(None, environ) == by_env
    del environ["SYNCD_CONFIG"]
    assert find(None, environ) == here / "syncd.toml"
    (here / "syncd.toml").unlink()
    assert find(None, environ) == xdg / "syncd" / "syncd.toml"
    (xdg / "syncd" / "syncd.toml").unlink()
    with pytest.raises(ConfigError, match="no config found") as caught:
        find(None, environ)
    assert caught.value.code == "SY0101" and "syncd init" in caught.value.hint
    with pytest.raises(ConfigError, match=r"nope\.toml \(--config"):
        find(str(tmp_path / "nope.toml"), environ)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"x = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "b.toml")


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    path = tmp_path / "syncd.toml"
    path.write_text('[state]\nurl = "sqlite:///state.db"\n' + BASE)
    loaded = load(path)
    assert loaded.base == tmp_path
    assert loaded.state_url({}) == f"sqlite:///{tmp_path}/state.db"


def test_the_state_has_a_default_place() -> None:
    loaded = parse(BASE)
    assert loaded.state_url({"STATE_DIRECTORY": "/var/lib/syncd"}) == (
        "sqlite:////var/lib/syncd/state.db"
    )
    assert loaded.state_url({"XDG_STATE_HOME": "/s"}) == "sqlite:////s/syncd/state.db"
    assert loaded.state_url({"HOME": "/h"}) == "sqlite:////h/.local/state/syncd/state.db"
    absolute = parse('[state]\nurl = "sqlite:////x/s.db"\n' + BASE)
    assert absolute.state_url({}) == "sqlite:////x/s.db"
    elsewhere = parse('[state]\nurl = "env:STATE_URL"\n' + BASE)
    assert elsewhere.state_url({}) == "env:STATE_URL"


def test_a_state_url_with_a_password_is_refused() -> None:
    error = refused('[state]\nurl = "postgresql+psycopg://u:hunter2@h/d"\n' + BASE)
    assert error.code == "SY0140" and error.where == "syncd.toml:2"
    assert "hunter2" not in f"{error}{error.hint}"


# --- compiled against schemas ----------------------------------------------------------------


def table(name: str, *columns: Column, **facts: object) -> ObjectSchema:
    key = Column("id", "bigint", "integer", nullable=False)
    known = {column.name: column for column in (key, *columns)}
    return ObjectSchema(name, known, ("id",), **{"generated": True, **facts})  # type: ignore[arg-type]


def text_column(name: str, **facts: object) -> Column:
    return Column(name, "text", "text", **facts)  # type: ignore[arg-type]


def schemas() -> dict[str, ObjectSchema]:
    times = {"type": "timestamptz", "family": "datetime", "zoned": True}
    money = {"type": "numeric(12,2)", "family": "decimal", "digits": 12, "scale": 2}
    texts = [text_column(name) for name in ("email", "firstname", "lastname", "note")]
    return {
        "crm": table(
            "contacts",
            *texts,
            Column("labels", "text[]", "list"),
            Column("credit", **money),  # type: ignore[arg-type]
            Column("updated_at", **times),  # type: ignore[arg-type]
        ),
        "erp": table(
            "public.customers",
            text_column("email"),
            text_column("display_name"),
            Column("tags", "text[]", "list"),
            Column("credit_limit", **money),  # type: ignore[arg-type]
            Column("changed", **times),  # type: ignore[arg-type]
        ),
    }


def compiled_error(text: str, given: Mapping[str, ObjectSchema] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compile_flow(parse(text), "customers", given or schemas())
    return caught.value


def test_a_flow_compiles_into_rules_and_specs() -> None:
    flow = compile_flow(parse(BASE), "customers", schemas())
    rules = flow.rules
    assert rules.match == (("email",),)
    assert rules.groups == (("email",), ("name",), ("credit",), ("tags",))
    assert rules.deletes is Deletes.PROPAGATE and rules.deletes_from is None
    assert not rules.deletes_all
    assert rules.fields["credit"].owner == "erp" and rules.fields["credit"].conflict == (
        Policy("newest"),
    )
    assert rules.fields["tags"].is_set and rules.fields["tags"].conflict == (Policy("merge"),)
    assert rules.fields["email"].compare(" A@X.de ") == rules.fields["email"].compare("a@x.de")
    assert rules.sources("credit") == ("erp",) and rules.targets("credit") == ("crm", "erp")
    assert rules.guards == {
        "update": GuardLimit(percent=40.0),
        "blanking": GuardLimit(percent=5.0),
        "delete": GuardLimit(percent=5.0),
        "rebase": GuardLimit(percent=40.0),
    }
    crm = flow.members["crm"]
    assert crm.system == "crm" and crm.key == ("id",)
    assert set(crm.spec.columns) == {"email", "firstname", "lastname", "credit", "labels"}
    assert crm.spec.writes == frozenset(crm.spec.columns)
    assert crm.spec.modified == "updated_at" and not crm.spec.receipts
    assert flow.members["erp"].spec.receipts
    assert rules.members["crm"].creates and not rules.members["crm"].archives
    assert flow.findings == () and flow.guard_window == 86400.0


def test_i6_a_source_writes_nothing_and_read_only_fields_are_not_written() -> None:
    one_way = edited('"contacts"', '"contacts"\nmode = "source"')
    text = edited(', owner = "erp"', "", one_way)
    flow = compile_flow(parse(text), "customers", schemas())
    assert flow.members["crm"].spec.writes == frozenset()
    assert flow.rules.members["crm"].writes == frozenset()
    text = edited('tags = "tags" }', 'tags = { native = "tags", read_only = true } }')
    flow = compile_flow(parse(text), "customers", schemas())
    assert "tags" not in flow.members["erp"].spec.writes
    assert "tags" not in flow.rules.members["erp"].writes
    assert "tags" in flow.rules.members["erp"].reads


def test_sources_that_cannot_be_written_make_deletes_wait_for_all() -> None:
    one_way = edited('"contacts"', '"contacts"\nmode = "source"')
    one_way = edited(', owner = "erp"', "", one_way)
    rules = compile_flow(parse(one_way), "customers", schemas()).rules
    assert rules.deletes_all and rules.deletes_from == ("crm", "erp")
    chosen = edited('"newest"', '"newest"\ndeletes_from = ["erp"]')
    rules = compile_flow(parse(chosen), "customers", schemas()).rules
    assert rules.deletes_from == ("erp",) and not rules.deletes_all


def test_fields_sharing_a_native_field_become_one_group() -> None:
    text = edited('name = "text"', 'name = "text"\nlast = "text"')
    text = edited(
        'fields.tags = "labels"', 'fields.tags = "labels"\nfields.last = "lastname"', text
    )
    text = edited('tags = "tags" }', 'tags = "tags", last = { native = "note" } }', text)
    given = schemas()
    given["erp"] = table("public.customers", *given["erp"].columns.values(), text_column("note"))
    flow = compile_flow(parse(text), "customers", given)
    assert ("name", "last") in flow.rules.groups
    error = refused(edited('last = "text"', 'last = { type = "text", owner = "erp" }', text))
    assert error.code == "SY0120" and "`owner` differs" in str(error)


def test_a_declared_group_stays_together() -> None:
    text = edited('"newest"', '"newest"\ngroups = [["email", "name"]]')
    flow = compile_flow(parse(text), "customers", schemas())
    assert flow.rules.groups == (("email", "name"), ("credit",), ("tags",))


@pytest.mark.parametrize(
    ("old", "new", "code", "says", "hint"),
    [
        ('name = "display_name"', 'name = "displayname"', "SY0130", "displayname", "display_name"),
        ('modified = "changed"', 'modified = "chnged"', "SY0130", "chnged", "changed"),
        ('modified = "changed"', 'key = "ident"', "SY0130", "ident", ""),
        ('modified = "changed"', 'cursor = "display_name"', "SY0134", "no cursor column", ""),
        ('modified = "changed"', 'modified = "credit_limit"', "SY0134", "no modified column", ""),
    ],
)
def test_columns_that_are_not_there_or_unfit(
    old: str, new: str, code: str, says: str, hint: str
) -> None:
    text = edited(old, new)
    error = compiled_error(text)
    assert error.code == code and says in str(error) and hint in error.hint
    assert error.where == f"syncd.toml:{line_with(text, new)}"


def test_a_view_is_read_but_not_written_and_needs_a_key() -> None:
    view = {**schemas(), "erp": table("v", *schemas()["erp"].columns.values(), writable=False)}
    assert compiled_error(BASE, view).code == "SY0133"
    keyless = ObjectSchema("v", view["erp"].columns, (), writable=False)
    text = edited('"public.customers"', '"public.customers"\nmode = "source"')
    assert compiled_error(text, {**view, "erp": keyless}).code == "SY0132"
    flow = compile_flow(
        parse(edited('mode = "source"', 'mode = "source"\nkey = "id"', text)),
        "customers",
        {**view, "erp": keyless},
    )
    assert flow.members["erp"].key == ("id",) and flow.members["erp"].spec.key == ("id",)


def test_a_type_that_cannot_fit_has_the_fields_line() -> None:
    text = edited('credit = "credit_limit"', 'credit = "changed"')
    error = compiled_error(text)
    assert error.where == f"syncd.toml:{line_with(text, 'display_name')}"
    assert "flows.customers.members.erp.fields.credit" in str(error)


def test_a_target_that_lacks_something_for_creates_says_so_and_creates_nothing() -> None:
    needed = Column("tenant", "int", "integer", nullable=False)
    given = {**schemas(), "erp": table("c", *schemas()["erp"].columns.values(), needed)}
    flow = compile_flow(parse(BASE), "customers", given)
    assert not flow.rules.members["erp"].creates and flow.rules.members["crm"].creates
    assert any("`tenant` must have a value" in f.message for f in flow.findings)
    keyed = {**schemas(), "erp": table("c", *schemas()["erp"].columns.values(), generated=False)}
    assert not compile_flow(parse(BASE), "customers", keyed).rules.members["erp"].creates


def test_missing_privileges_are_findings() -> None:
    granted = frozenset({"read"})
    given = {
        **schemas(),
        "erp": table("c", *schemas()["erp"].columns.values(), privileges=granted),
    }
    flow = compile_flow(parse(BASE), "customers", given)
    text = " ".join(f.message for f in flow.findings)
    assert "insert" in text and "update" in text and "delete" in text


def test_fingerprints_move_with_what_makes_a_form_and_with_nothing_else() -> None:
    def prints(text: str) -> dict[str, str]:
        flow = compile_flow(parse(text), "customers", schemas())
        return {name: member.fingerprint for name, member in flow.rules.members.items()}

    base = prints(BASE)
    assert prints(BASE) == base
    assert prints(edited('"newest"', '"review"')) == base, "a policy makes no form"
    fold = prints(edited('["trim", "lower"]', '["trim"]'))
    assert fold["crm"] != base["crm"] and fold["erp"] != base["erp"]
    assert prints(edited("decimal(12,2)", "decimal(10,2)")) != base
    column = prints(edited('"email", name', '{ native = "email", table = { a = "b" } }, name'))
    assert column["erp"] != base["erp"] and column["crm"] == base["crm"]


def test_two_flows_writing_one_field_under_two_names_of_an_object() -> None:
    second = SECOND.replace("EMAIL", "email").replace('"contacts"', '"public.contacts"')
    loaded = parse(BASE + second)
    flows = [compile_flow(loaded, "customers", schemas())]
    invoices = table("invoices", text_column("email"))
    flows.append(compile_flow(loaded, "billing", {"crm": schemas()["crm"], "erp": invoices}))
    with pytest.raises(ConfigError, match="flow `customers` too"):
        check_shared(loaded, flows)


# --- schema, lookups -------------------------------------------------------------------------


def test_the_json_schema_in_the_docs_is_current() -> None:
    path = ROOT / "docs" / "schema" / "syncd.schema.json"
    assert path.read_text() == schema_text(), "python -m syncd.config.schema > " + str(path)


def test_unknown_flows_and_systems_have_the_nearest_name() -> None:
    loaded: Loaded = parse(BASE)
    with pytest.raises(ConfigError) as caught:
        loaded.flow("custmers")
    assert "`customers`" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        loaded.system("epr")
    assert "`erp`" in caught.value.hint


def test_an_adapters_complaint_gets_its_line() -> None:
    error = parse(BASE).placed(ConfigError("is odd", code="SY0182", where="systems.erp.url"))
    assert str(error) == "syncd.toml:8: systems.erp.url: is odd" and error.code == "SY0182"
    other = ConfigError("is odd", where="case 7")
    assert parse(BASE).placed(other) is other


_texts = st.text(st.characters(codec="utf-8"), max_size=6)
_scalars = st.integers(-9, 99) | st.booleans() | _texts | st.lists(_texts, max_size=3)
_values = st.recursive(_scalars, lambda inner: st.dictionaries(_texts, inner, max_size=3))
_documents = st.dictionaries(_texts, st.dictionaries(_texts, _values, max_size=3), max_size=3)


def _toml(value: object, gap: str) -> str:
    if isinstance(value, dict):
        pairs = [f"{_toml(key, gap)} = {_toml(inner, gap)}" for key, inner in value.items()]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + gap + f",{gap}".join(_toml(inner, gap) for inner in value) + gap + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _paths(value: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(value, dict):
        return set()
    below = (_paths(inner, (*path, key)) for key, inner in value.items())
    return {(*path, key) for key in value}.union(*below)


@given(_documents, st.sampled_from([" ", "\n  # } ] a comment\n  "]))
def test_every_key_of_any_toml_is_found(document: dict[str, dict[str, object]], gap: str) -> None:
    text = ""
    for name, table in document.items():
        text += f"[ {_toml(name, gap)} ] # [x]\r\n"
        for key, value in table.items():
            text += f"{_toml(key, gap)}  =  {_toml(value, gap)} # y = 1\n"
    assert tomllib.loads(text) == document
    assert set(scan(text)) == _paths(document)
