"""A proposal as the text of a first `syncd.toml`, with a comment for each guess."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncd.engine.propose import Proposal, ProposedField, ProposedMember

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MARK = "\x00"  # no text of a config has it
_COMMENTS = 38  # where they begin


@dataclass(frozen=True, slots=True)
class Draft:
    """connectors, urls  by system; a url with a secret in it is a reference
    receipts     members whose creates could not be settled otherwise
    dropped      by field name: why the proposal without it is the one that works
    """

    proposal: Proposal
    connectors: Mapping[str, str]
    urls: Mapping[str, str]
    receipts: Sequence[str] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[str] = ()

    def text(self) -> str:
        lines = [
            "# Written by `syncd init` from what the systems look like. Each guess is yours to",
            "# correct; `syncd check` proves the result against the systems.",
            "",
            "[state]",
            f'url = "sqlite:///state.db"{_beside("what was agreed; keep it, and back it up")}',
            "",
        ]
        for system, url in self.urls.items():
            lines += [
                f"[systems.{_key(system)}]",
                f"connector = {_text(self.connectors[system])}",
                f"url = {_text(url)}",
                "",
            ]
        lines += [*self._flow(), "", *self._fields()]
        for member in self.proposal.members:
            lines += ["", *self._member(member)]
        return "\n".join(map(_aligned, lines)) + "\n"

    def _flow(self) -> list[str]:
        lines = [f"[flows.{_key(self.proposal.name)}]"]
        if self.proposal.match:
            rules = [_list(rule) for rule in self.proposal.match]
            whole = rules[0] if len(rules) == 1 else f"[{', '.join(rules)}]"
            if len(rules) == 1 and len(self.proposal.match[0]) > 1:
                whole = f"[{rules[0]}]"
            lines.append(f"match = {whole}{_beside('links records on first sight')}")
        else:
            lines.append('# match = ["…"]    nothing was found that tells two records apart')
        best = self.proposal.members[0].system
        return [
            *lines,
            'conflict = "review"' + _beside(f'or "newest", or "prefer:{best}"'),
            'first = "review"' + _beside("both have a value on first sight: ask"),
            'deletes = "review"' + _beside("or propagate, archive, unlink, ignore"),
        ]

    def _fields(self) -> list[str]:
        lines = [f"[flows.{_key(self.proposal.name)}.fields]"]
        for made in self.proposal.fields:
            if made.name in self.dropped:
                lines.append(f"# {_key(made.name)}: left out: {_comment(self.dropped[made.name])}")
                continue
            if made.fold or made.zone:
                parts = [f"type = {_text(made.type)}"]
                if made.fold:
                    parts.append(f"fold = {_list(made.fold)}")
                if made.zone:
                    parts.append(f"zone = {_text(made.zone)}")
                value = "{ " + ", ".join(parts) + " }"
            else:
                value = _text(made.type)
            guess = " (is that the zone?)" if made.zone else ""
            lines.append(f"{_key(made.name)} = {value}{_beside(made.reason + guess)}")
        return lines

    def _member(self, member: ProposedMember) -> list[str]:
        lines = [
            f"[flows.{_key(self.proposal.name)}.members.{_key(member.system)}]",
            f"object = {_text(member.object)}",
        ]
        if member.key:
            lines.append(f"key = {_list(member.key)}{_beside('it declares no key; is this one?')}")
        if not member.writable or member.system in self.sources:
            lines.append('mode = "source"' + _beside("it cannot be written"))
        if member.modified:
            lines.append(f"modified = {_text(member.modified)}")
        if member.soft_delete:
            lines.append(f"# soft_delete = {_text(member.soft_delete)}")
        if member.system in self.receipts:
            why = "else a lost answer to a create could not be cleared up"
            lines.append(f"receipts = true{_beside(why)}")
        inner = [
            f"{_key(made.name)} = {self._column(made, member)}"
            for made in self.proposal.fields
            if member.system in made.columns and made.name not in self.dropped
        ]
        lines += ["", f"[flows.{_key(self.proposal.name)}.members.{_key(member.system)}.fields]"]
        lines += inner
        left = self.proposal.unmapped.get(member.system, ())
        if left:
            lines.append(f"# not mapped: {_comment(', '.join(left))}")
        return lines

    def _column(self, made: ProposedField, member: ProposedMember) -> str:
        native = made.columns[member.system]
        read_only = member.system in made.read_only
        if len(native) == 1 and not read_only:
            return _text(native[0])
        parts = [f"native = {_list(native) if len(native) > 1 else _text(native[0])}"]
        if len(native) > 1:
            parts.append('lens = "words"')
        if read_only:
            parts.append("read_only = true")
        return "{ " + ", ".join(parts) + " }"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join(_text(text) for text in texts) + "]"


def _beside(text: str) -> str:
    return f"{_MARK}# {_comment(text)}" if text else ""


def _aligned(line: str) -> str:
    """Comments beside settings stand below each other, where there is room."""
    setting, mark, comment = line.partition(_MARK)
    return f"{setting:<{_COMMENTS}} {comment}" if mark else line


def _comment(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "?", text)
