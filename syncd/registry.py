"""Connector name → adapter factory, by the entry points of the group `syncd.adapters`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points

from syncd.adapter import Factory
from syncd.config.problems import did_you_mean
from syncd.errors import ConfigError

GROUP = "syncd.adapters"


class Registry:
    """The connectors that are installed. `points` is for tests and simulators."""

    def __init__(self, points: Iterable[EntryPoint] | None = None) -> None:
        found = entry_points(group=GROUP) if points is None else points
        self._points: dict[str, dict[str, EntryPoint]] = {}
        self._made: dict[str, Factory] = {}
        for point in found:
            # one package seen twice on the path (an editable install, say) is no duplicate
            self._points.setdefault(point.name, {})[f"{_package(point)}: {point.value}"] = point

    def names(self) -> list[str]:
        return sorted({*self._points, *self._made})

    def add(self, name: str, factory: Factory) -> None:
        """A connector of this process only."""
        self._made[name] = factory

    def factory(self, name: str, where: str = "") -> Factory:
        """Raises ConfigError: unknown (SY0150), offered twice (SY0151), broken (SY0152)."""
        if name in self._made:
            return self._made[name]
        offers = self._points.get(name)
        if not offers:
            raise ConfigError(
                f"no connector `{name}` is installed",
                code="SY0150",
                where=where,
                hint=did_you_mean(name, self.names()),
            )
        if len(offers) > 1:
            raise ConfigError(
                f"connector `{name}` is offered twice: {'; '.join(sorted(offers))}",
                code="SY0151",
                where=where,
                hint="uninstall one of the packages",
            )
        (offer, point), *_ = offers.items()
        return self._load(name, offer, point, where)

    def _load(self, name: str, offer: str, point: EntryPoint, where: str) -> Factory:
        loaded: object
        try:
            loaded = point.load()
        except Exception as error:
            raise ConfigError(
                f"connector `{name}` ({offer}) cannot be loaded: {error}",
                code="SY0152",
                where=where,
                hint="reinstall the package that offers it",
            ) from error
        if not isinstance(loaded, Callable):  # type: ignore[arg-type]
            raise ConfigError(
                f"connector `{name}` ({offer}) is no factory", code="SY0152", where=where
            )
        made: Factory = loaded  # type: ignore[assignment]
        return made


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"
