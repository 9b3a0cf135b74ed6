"""A writer that is killed again and again, and what is found on the disk each time.

    python -m support.crash kill HOME ROUNDS SEED     SIGKILL at random instants
    python -m support.crash points HOME               at every call that changes a file, in turn

A process of its own: it forks writers, and forks are for processes with one thread. Ends with exit
code 0 and a line of JSON when the store was right every time.
"""

import json
import os
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from gossipd.storage.store import DiskStore
from support.disk import head_of, open_store, step, write

QUOTA = 50_000
"""So little that `collect` has something to do in every round."""
DEADLINE = 30.0
BLOCK = 3
CRASHED = 9
_SAID = struct.Struct("<q")


def write_forever(home: Path, said: int) -> None:
    """Train without end, and say each number when it is committed."""
    store = open_store(home, QUOTA)
    while True:
        first = train(store)
        os.write(said, _SAID.pack(first))
        store.collect()


def kill_at_random(home: Path, rounds: int, seed: int) -> dict[str, int]:
    chance = Random(seed)
    committed = reserved = 0
    for _ in range(rounds):
        heard, said = os.pipe()
        writer = _fork(partial(write_forever, home, said))
        os.close(said)
        for _ in range(chance.randint(1, 4)):
            committed = _hear(heard, DEADLINE) or committed
        committed = _hear(heard, chance.uniform(0, 0.06)) or committed
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        while late := _hear(heard, DEADLINE):
            committed = late
        os.close(heard)
        reserved = check(home, committed, reserved)
    return {"rounds": rounds, "committed": committed}


def crash_at_every_point(home: Path) -> dict[str, int]:
    store = open_store(home, QUOTA)
    reserved = 0
    for _ in range(3):
        reserved, _ = store.reserve("seq", BLOCK)
        step(store, reserved)
    store.close()
    committed = reserved
    point = 0
    code = CRASHED
    while code == CRASHED:
        point += 1
        writer = _fork(partial(one_step_until, home, point))
        code = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1])
        reserved = check(home, committed, reserved)
    assert code == 0, f"the writer failed with {code} at point {point}"
    return {"points": point - 1}


def one_step_until(home: Path, point: int) -> None:
    """One training cycle that ends at the `point`-th call which changes a file."""
    calls = 0

    def crashing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == point:
                if real is write_really:
                    write_really(args[0], args[1][: len(args[1]) // 2])
                os._exit(CRASHED)
            return real(*args, **kwargs)

        return call

    write_really = os.write
    for name in ("write", "fsync", "replace", "unlink", "open"):
        setattr(os, name, crashing(getattr(os, name)))
    store = open_store(home, QUOTA)
    train(store)
    store.collect()


def train(store: DiskStore) -> int:
    """Write what the node stands on once more, as a redundant merge does; then a cycle."""
    number = head_of(store)
    if number:
        write(store, number)
    first, _ = store.reserve("seq", BLOCK)
    step(store, first)
    return first


def check(home: Path, committed: int, reserved: int) -> int:
    """The store is whole, knows what was committed, gives no number twice. A new number."""
    store = open_store(home, QUOTA)
    try:
        assert head_of(store) >= committed, f"{head_of(store)} after {committed} was committed"
        assert store.damaged == 0
        assert not list(home.rglob("*.tmp"))
        first, _ = store.reserve("seq", BLOCK)
        assert first > max(head_of(store), reserved), f"{first} was given before"
        return first
    finally:
        store.close()


def _fork(work: Callable[[], None]) -> int:
    """Do `work` in a new process; its pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def _hear(pipe: int, seconds: float) -> int:
    """The next number said within so many seconds; 0 when there is none."""
    if not select.select([pipe], [], [], seconds)[0]:
        return 0
    said = os.read(pipe, _SAID.size)
    number: int = _SAID.unpack(said)[0] if said else 0
    return number


if __name__ == "__main__":
    mode, home, *numbers = sys.argv[1:]
    if mode == "kill":
        report = kill_at_random(Path(home), *map(int, numbers))
    else:
        report = crash_at_every_point(Path(home))
    print(json.dumps(report))  # noqa: T201
