"""How much a running daemon holds: threads, tasks, objects, and the entries of each of its tables.

A table is whatever container an object of ours or of libp2p keeps in an attribute, found by walking
from the daemon's parts: one that somebody adds tomorrow is counted without being named here.
`benchmarks/soak.py` watches these numbers for what grows.
"""

import asyncio
import gc
import threading
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

ROOMS = ("gossipd.", "libp2p.")
"""Modules whose objects are walked into."""
NETWORK_TASK = ("trio.lowlevel", "Task")
"""By name: trio itself belongs to the network room."""
TYPES = 40
"""Kinds of objects that are told, the most frequent ones."""
TABLE = (dict, set, list, deque)
"""Types, not interfaces: to ask an ABC about a class leaves an entry behind for each."""
WITHIN = 64
"""Of a table, how many values are looked into for objects with tables of their own. Ours: tables of
peers or of links have fewer."""


def census(*roots: object) -> dict[str, Any]:
    """{threads, tasks, network_tasks, objects, types: {name: count}, tables: {Class.attribute:
    entries}}.

    Tables of several objects of one class are added up; a table of tables counts its rows' entries
    too. Takes some hundredths of a second, most of it for listing the objects. Other threads go on
    meanwhile, so a number may be off by what changed just then.
    """
    types = Counter(type(thing) for thing in gc.get_objects())
    return {
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "network_tasks": sum(count for kind, count in types.items() if _name(kind) == NETWORK_TASK),
        "objects": types.total(),
        "types": {".".join(_name(kind)): count for kind, count in types.most_common(TYPES)},
        "tables": _tables(roots),
    }


def _name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _tables(roots: tuple[object, ...]) -> dict[str, int]:
    tables: Counter[str] = Counter()
    seen: set[int] = set()
    ahead = deque(roots)
    while ahead:
        thing = ahead.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        for name, value in _attributes(thing):
            if isinstance(value, (*TABLE, bytearray)):
                tables[f"{type(thing).__name__}.{name}"] += _entries(value)
                ahead.extend(filter(_is_ours, _values(value)))
            elif _is_ours(value):
                ahead.append(value)
    return dict(sorted(tables.items()))


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    yield from list(getattr(thing, "__dict__", {}).items())
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            full = f"_{kind.__name__.lstrip('_')}{name}" if name[:2] == "__" else name
            if hasattr(thing, full):
                yield full, getattr(thing, full)


def _entries(table: Any) -> int:
    rows = _values(table)
    return len(table) + sum(len(row) for row in rows if isinstance(row, TABLE))


def _values(table: Any) -> list[Any]:
    """The first of them; none when another thread changes the table meanwhile."""
    if isinstance(table, bytearray):
        return []
    try:
        return list(islice(table.values() if isinstance(table, dict) else table, WITHIN))
    except RuntimeError:
        return []


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith(ROOMS)
