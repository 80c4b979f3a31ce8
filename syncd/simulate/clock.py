"""Time, chance and names of a simulated world: nothing here waits, and a seed decides it all."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

Chance = random.Random

BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)


def stream(seed: int, what: str) -> Chance:
    """A source of chance of its own for users, schedule and faults, so that leaving out an event
    of one does not move the others."""
    return random.Random(f"{seed}/{what}")


class Clock:
    """seconds: since the world began; ahead: how far this machine's wall clock is off."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ahead = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds + self.ahead)

    def monotonic(self) -> float:
        return self.seconds


class Ids:
    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def new(self) -> str:
        return f"{self._chance.getrandbits(128):032x}"
