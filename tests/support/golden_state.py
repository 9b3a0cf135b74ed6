"""Makes and knows the state directories under tests/golden.

    cd tests && python -m support.golden_state golden/state-v3

Run it once for every new state version, before the next migration is added; never again for an old
one: what lies there is what an older gossipd left on somebody's disk.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from gossipd.runtime.ports import SheetKey, StoredSheet
from support.disk import model_of, open_store, places, step

INCARNATION = 1_700_000_000_123
LAST = 3
RESERVED = 4097
PEER = ("peer", ("/ip4/192.0.2.7/tcp/4001",), b"a signed record")
STATE = b"what the core knows"
EVIDENCE = ("liar", b"yes", b"no")
SHEET = StoredSheet(SheetKey("peer", 5, 1), b"a signed sheet", 1_700_000_000.5)
CHOICE = ("label/3", bytes(8), 1_700_000_001.5)
PINNED = model_of(1)
USED = model_of(2)


def make(home: Path) -> None:
    store = open_store(home)
    for number in range(1, LAST + 1):
        step(store, number)
    store.reserve("seq", RESERVED - 1)
    store.save_peers([PEER])
    store.save_state(STATE)
    store.append_evidence(*EVIDENCE)
    store.save_sheets([SHEET], [])
    store.save_choice(*CHOICE)
    store.pin(PINNED)
    store.use(USED)
    store.close()
    with closing(sqlite3.connect(places(home).database)) as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'incarnation'", (INCARNATION,))
        database.commit()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
