"""The real seams."""

from __future__ import annotations

import contextvars
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC

import pytest

from syncd.errors import Interrupted
from syncd.host import HostTasks, Interrupt, alive, holder, real_seams
from syncd.seams import Seams


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    made = Interrupt()
    yield made
    made.close()


@pytest.fixture
def seams(interrupt: Interrupt) -> Seams:
    return real_seams(interrupt)


def test_the_clock_is_utc_and_the_other_one_grows(seams: Seams) -> None:
    assert seams.clock.now().tzinfo is UTC
    before = seams.clock.monotonic()
    seams.sleep(0.01)
    assert seams.clock.monotonic() - before >= 0.01


def test_ids_and_numbers(seams: Seams) -> None:
    ids = {seams.ids.new() for _ in range(100)}
    assert len(ids) == 100 and all(len(i) == 32 and i == i.lower() for i in ids)
    assert 0 <= seams.random.random() < 1 and seams.random.randrange(3) in (0, 1, 2)


def test_an_interrupt_wakes_every_sleeper_and_stays(seams: Seams, interrupt: Interrupt) -> None:
    seams.sleep(0)  # nothing asked to stop
    sleepers = [seams.tasks.spawn(lambda: seams.sleep(60), "sleeper") for _ in range(3)]
    interrupt.set("SIGTERM")
    interrupt.set("SIGINT")
    for sleeper in sleepers:
        with pytest.raises(Interrupted, match="stopped by SIGTERM"):
            sleeper.result()
    with pytest.raises(Interrupted) as caught:
        seams.sleep(0)
    assert caught.value.exit_code == 130


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_and_a_second_one_ends_as_ever(kind: signal.Signals) -> None:
    """Ctrl-C stops cleanly; a second one is not held back. In a process of its own."""
    program = (
        "import sys\n"
        "from syncd.host import Interrupt\n"
        "from syncd.errors import Interrupted\n"
        "i = Interrupt()\n"
        "with i.on_signals():\n"
        "    try:\n"
        "        print('sleeping', flush=True)\n"
        "        i.wait(60)\n"
        "    except Interrupted as e:\n"
        "        print(e, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sleeping\n"
        process.send_signal(kind)
        assert process.stdout.readline() == f"stopped by {kind.name}\n"
        process.send_signal(kind)
        assert process.wait(20) == -kind


def test_handlers_are_put_back(interrupt: Interrupt) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupt.on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_tasks_return_values_and_raise_what_was_raised(seams: Seams) -> None:
    assert seams.tasks.spawn(lambda: 7, "seven").result() == 7

    def fail() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        seams.tasks.spawn(fail, "fails").result()


def test_gather_waits_for_all_and_raises_the_first_failure(seams: Seams) -> None:
    done: list[str] = []

    def fail(text: str) -> str:
        raise ValueError(text)

    def work(text: str) -> str:
        done.append(text)
        return text

    assert seams.tasks.gather([lambda: work("a"), lambda: work("b")], "g") == ["a", "b"]
    with pytest.raises(ValueError, match="one"):
        seams.tasks.gather([lambda: fail("one"), lambda: work("c"), lambda: fail("two")], "g")
    assert "c" in done
    assert seams.tasks.gather([], "none") == []


def test_locks_are_re_entrant_and_queues_bounded(seams: Seams) -> None:
    lock = seams.tasks.lock()
    with lock, lock:
        pass
    bounded = HostTasks().queue(1)
    bounded.put("a")
    with pytest.raises(queue.Full):
        bounded.put("b", block=False)
    assert bounded.get() == "a"


def test_a_task_sees_the_context_it_was_spawned_in(seams: Seams) -> None:
    word = contextvars.ContextVar("word", default="none")
    token = word.set("here")
    assert seams.tasks.spawn(word.get, "reads").result() == "here"
    word.reset(token)


def test_the_holder_tells_this_process_from_every_other() -> None:
    me = holder()
    assert me.pid == os.getpid() and holder() == me
    assert alive(me) is True
    place, _, ticks = me.started.rpartition(".")
    assert alive(replace(me, started=f"{place}.{int(ticks) + 1}")) is False, "a reused pid"
    assert alive(replace(me, pid=2**22 + 1)) is False
    assert alive(replace(me, host="elsewhere")) is None
    assert alive(replace(me, started=f"other-boot.{ticks}")) is None
