"""I16: a secret is read from where the config points, and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import ConfigError
from syncd.secrets import Redactor, Secrets, holds_secret, is_reference


def secrets(base: Path, **environ: str) -> Secrets:
    return Secrets(base, environ)


def test_references_are_resolved_from_all_three_places(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from-file\n")
    (tmp_path / "pw").chmod(0o600)
    creds = tmp_path / "creds"
    creds.mkdir()
    (creds / "erp").write_text("from-credential\r\n")
    found = secrets(tmp_path, TOKEN="from-env\n", CREDENTIALS_DIRECTORY=str(creds))
    assert found.resolve("env:TOKEN") == "from-env"
    assert found.resolve("file:pw") == "from-file"
    assert found.resolve(f"file:{tmp_path}/pw") == "from-file"
    assert found.resolve("credential:erp") == "from-credential"
    assert found.resolve("sqlite:///crm.db") == "sqlite:///crm.db"
    assert found.findings == []


def test_only_one_trailing_newline_goes(tmp_path: Path) -> None:
    assert secrets(tmp_path, A=" pass word \n\n").resolve("env:A") == " pass word \n"


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("env:NOPE", "SY0141", "no variable NOPE"),
        ("env:", "SY0141", "names nothing"),
        ("env:EMPTY", "SY0141", "is empty"),
        ("file:nope", "SY0142", "cannot be read"),
        ("file:.", "SY0142", "cannot be read"),
        ("file:big", "SY0142", "64 KiB"),
        ("file:binary", "SY0142", "UTF-8"),
        ("credential:x", "SY0143", "credentials directory"),
    ],
)
def test_what_cannot_be_resolved_names_the_reference(
    tmp_path: Path, reference: str, code: str, says: str
) -> None:
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=says) as caught:
        secrets(tmp_path, EMPTY="\n").resolve(reference)
    assert caught.value.code == code


def test_a_credential_is_a_name_not_a_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a path"):
        secrets(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)).resolve("credential:../x")


def test_a_file_that_others_can_read_is_a_finding_once(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter22")
    (tmp_path / "pw").chmod(0o644)
    found = secrets(tmp_path)
    found.resolve("file:pw")
    found.resolve("file:pw")
    (finding,) = found.findings
    assert "every user" in finding.message and "chmod 600" in finding.hint
    assert "hunter22" not in str(finding)


def test_a_secret_too_short_to_mask_is_a_finding(tmp_path: Path) -> None:
    found = secrets(tmp_path, A="abc")
    found.resolve("env:A")
    assert "too short" in found.findings[0].message
    assert found.redactor("abcdef") == "abcdef"


def test_i16_a_resolved_secret_is_masked_in_each_of_its_spellings(tmp_path: Path) -> None:
    url = "postgresql://app:p%40ss%2Fw%20rd@db.example/erp"
    found = secrets(tmp_path, ERP_URL=url, KEY="tab\there\nsecond line of key")
    found.resolve("env:ERP_URL")
    found.resolve("env:KEY")
    for text in (
        f"cannot connect to {url}!",
        "password p@ss/w rd is wrong",
        "p%40ss%2Fw%20rd",
        "'tab\\there\\nsecond line of key'",
        "second line of key",
    ):
        shown = found.redactor(text)
        assert "***" in shown
        assert "ss" not in shown.replace("password", ""), shown
        assert "second line" not in shown
    assert found.redactor("db.example is down") == "db.example is down"
    assert "hunter" not in repr(found) and "2" not in repr(found)
    assert url not in repr(found.redactor)


def test_the_longest_secret_goes_first() -> None:
    redactor = Redactor()
    redactor.add("pass")
    redactor.add("password-1")
    assert redactor("password-1") == "***"


@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_i16_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    shown = redactor(f"{before}{secret}{after}")
    assert secret not in shown or secret in before + "***" + after or "*" in secret


def test_a_password_in_a_literal_url_is_seen() -> None:
    assert holds_secret("mysql+pymysql://u:pw@host/db")
    assert holds_secret("postgresql://host/db?user=u&password=pw")
    assert holds_secret("postgresql://u:p[w@host/db")
    assert not holds_secret("postgresql://u@host/db")
    assert not holds_secret("sqlite:///a:b@c.db")
    assert not holds_secret("a note: see user:pw@host")
    assert is_reference("env:X") and not is_reference("sqlite:///x.db")
