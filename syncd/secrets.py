"""Secrets: read from where the config points, never kept in it, never shown.

A reference is `env:NAME`, `file:path` (relative to the config) or `credential:name` (a systemd
credential). Whatever is resolved is known to a `Redactor` before the caller has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from syncd.errors import ConfigError
from syncd.findings import Finding

MASK = "***"
_KINDS = ("env:", "file:", "credential:")
_LIMIT = 64 * 1024
_SHORTEST = 4  # a shorter word would mask half of every text and hide nothing
_QUERY_SECRET = re.compile(r"[?&;](?:password|passwd|pwd|secret|token|api_?key)=([^&;#\s]+)", re.I)


def is_reference(text: str) -> bool:
    return text.startswith(_KINDS)


def holds_secret(text: str) -> bool:
    """Whether a literal text is a URL with a password in it."""
    return bool(_passwords(text))


class Redactor:
    """Replaces every secret it knows by `***`. Safe to use from several tasks."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._built: tuple[int, re.Pattern[str] | None] = (0, None)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"

    def add(self, secret: str) -> None:
        """Remember a secret, the spellings of it that URLs and JSON use, and the password
        inside it where it is a URL."""
        for word in (secret, *_passwords(secret)):
            plain = unquote(word)
            escaped = word.encode("unicode_escape").decode()
            for form in (word, plain, quote(plain, safe=""), repr(word)[1:-1], escaped):
                if len(form) >= _SHORTEST:
                    self._known[form] = None
            # a secret of several lines (a private key) shows up a line at a time
            for line in word.splitlines() if "\n" in word else ():
                if len(line.strip()) >= 2 * _SHORTEST:
                    self._known[line.strip()] = None

    def __call__(self, text: str) -> str:
        count, pattern = self._built
        if count != len(self._known):
            words = sorted(self._known, key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, words)))
            self._built = (len(words), pattern)
        return pattern.sub(MASK, text) if pattern else text


class Secrets:
    """Resolves references.

    base     folder that `file:` paths refer to
    environ  the process's environment
    findings files that others can read, and secrets too short to mask
    """

    def __init__(
        self, base: Path, environ: Mapping[str, str], redactor: Redactor | None = None
    ) -> None:
        self._base = base
        self._environ = environ
        self.redactor = redactor if redactor is not None else Redactor()
        self.findings: list[Finding] = []

    def __repr__(self) -> str:
        return "Secrets(***)"

    def resolve(self, text: str) -> str:
        """The secret a reference names, without a trailing newline; a text that is no reference
        is returned as it is. Raises ConfigError: nothing there (SY0141), not readable (SY0142),
        no credentials directory (SY0143)."""
        kind, mark, name = text.partition(":")
        if kind + mark not in _KINDS:
            self._remember(text, passwords_only=True)
            return text
        if not name:
            raise ConfigError(f"the reference `{text}` names nothing", code="SY0141")
        if kind == "env":
            secret = self._env(name)
        elif kind == "file":
            secret = self._file(self._base / Path(name).expanduser(), text)
        else:
            secret = self._credential(name, text)
        secret = secret.removesuffix("\n").removesuffix("\r")
        if not secret:
            raise ConfigError(f"the secret behind `{text}` is empty", code="SY0141")
        self._remember(secret, shown=text)
        return secret

    def _remember(self, secret: str, *, shown: str = "", passwords_only: bool = False) -> None:
        words = _passwords(secret) if passwords_only else (secret,)
        for word in words:
            self.redactor.add(word)
            if len(word) < _SHORTEST and shown:
                self._find(shown, "is too short to be masked in output", "choose a longer secret")

    def _env(self, name: str) -> str:
        if name not in self._environ:
            raise ConfigError(
                f"the environment has no variable {name}",
                code="SY0141",
                hint=f"export {name}=…, or set it in the service's EnvironmentFile",
            )
        return self._environ[name]

    def _credential(self, name: str, reference: str) -> str:
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(
                f"`{reference}` needs a credentials directory, and there is none",
                code="SY0143",
                hint=f"run under systemd with LoadCredential={name}:/path, "
                "or set $CREDENTIALS_DIRECTORY",
            )
        if "/" in name or name in (".", ".."):
            raise ConfigError(f"`{reference}` is a path, not a credential's name", code="SY0141")
        return self._file(Path(folder) / name, reference, private=True)

    def _file(self, path: Path, reference: str, *, private: bool = False) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(_LIMIT + 1)
            mode = path.stat().st_mode
        except OSError as error:
            raise ConfigError(
                f"`{reference}` cannot be read: {error.strerror}",
                code="SY0142",
                hint=f"it should be at {path}, readable by the user syncd runs as",
            ) from None
        if len(data) > _LIMIT:
            raise ConfigError(f"`{reference}` is larger than 64 KiB; no secret is", code="SY0142")
        if mode & 0o004 and not private:
            self._find(reference, "can be read by every user of this machine", f"chmod 600 {path}")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"`{reference}` is not UTF-8 text", code="SY0142") from None

    def _find(self, reference: str, message: str, hint: str) -> None:
        finding = Finding(reference, message, hint)
        if finding not in self.findings:
            self.findings.append(finding)


def _passwords(text: str) -> tuple[str, ...]:
    """Password parts of a URL, as they stand there."""
    if "://" not in text:
        return ()
    found = list(_QUERY_SECRET.findall(text))
    try:
        password = urlsplit(text).password
    except ValueError:  # a broken port or bracket: take what stands before the last @
        host = text.split("://", 1)[1].rpartition("@")[0]
        password = host.partition(":")[2] or None
    if password:
        found.append(password)
    return tuple({word: None for raw in found for word in (raw, unquote_plus(raw)) if word})
