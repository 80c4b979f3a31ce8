"""The SQL adapter with an accident built in: what a network, a crash or a busy person does to a
write between plan and settlement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from syncd.adapter import Adapter, Check, Context, EndpointSpec, Outcome, Status, Token, Write
from syncd.errors import SyncdError
from syncd_adapters.sql import factory as sql


class Crash(BaseException):
    """The process ends here: nothing of the engine may catch it."""


class Accidents:
    """What shall happen at one system; a test sets it between runs.

    before   called with each batch before it is sent; may edit rows behind the engine, or raise
    after    called with each batch once it took effect; may raise
    lose     the effect happens, the answer to a batch of this kind ("create", …) does not arrive
    unknown  a lookup of what was sent earlier cannot be answered either
    batch    operations a batch; None = the adapter's own
    unread   raised where a snapshot, or what moved since a cursor, would be read
    sent     every write that reached the system, in order
    """

    def __init__(self) -> None:
        self.before: Callable[[Sequence[Write]], None] | None = None
        self.after: Callable[[Sequence[Write]], None] | None = None
        self.lose: str | None = None
        self.unknown = False
        self.batch: int | None = None
        self.unread: SyncdError | None = None
        self.sent: list[Write] = []

    def factory(self, context: Context) -> Adapter:
        """To be registered as a connector."""
        made: Any = _Adapter(sql(context), self)
        return made  # type: ignore[no-any-return]


class _Adapter:
    def __init__(self, inner: Any, accidents: Accidents) -> None:
        self._inner, self._accidents = inner, accidents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(self, spec: EndpointSpec) -> Any:
        return _Endpoint(self._inner.open(spec), self._accidents)


class _Endpoint:
    def __init__(self, inner: Any, accidents: Accidents) -> None:
        self._inner, self._accidents = inner, accidents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def capabilities(self) -> Any:
        own = self._inner.capabilities
        size = self._accidents.batch
        return own if size is None else replace(own, batch=size)

    def snapshot(self) -> Any:
        if self._accidents.unread is not None:
            raise self._accidents.unread
        return self._inner.snapshot()

    def since(self, cursor: str) -> Any:
        if self._accidents.unread is not None:
            raise self._accidents.unread
        return self._inner.since(cursor)

    def apply(self, writes: Sequence[Write], check: Check, token: Token) -> list[Outcome]:
        accidents = self._accidents
        if accidents.before is not None:
            accidents.before(writes)
        outcomes: list[Outcome] = self._inner.apply(writes, check, token)
        accidents.sent += writes
        if accidents.after is not None:
            accidents.after(writes)
        if accidents.lose is not None and str(writes[0].kind) == accidents.lose:
            return [Outcome(o.op_id, Status.UNKNOWN, error="the answer was lost") for o in outcomes]
        return outcomes

    def settle(self, writes: Sequence[Write], token: str | None) -> list[Outcome]:
        if self._accidents.unknown:
            return [Outcome(w.op_id, Status.UNKNOWN, error="no answer") for w in writes]
        answers: list[Outcome] = self._inner.settle(writes, token)
        return answers
