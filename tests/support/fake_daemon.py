"""A process that answers as a daemon does, without being one: `python fake_daemon.py HOW HOME`.

HOW: "well" answers and stops when asked; "stubborn" answers and does not stop; "mute" never
answers; "refuses" ends with an error's document; "crashes" ends with a traceback.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path


def main(how: str, home: Path) -> int:
    if how == "mute":
        threading.Event().wait(60)
    if how == "refuses":
        error = {"code": "port-in-use", "message": "port 4001 is taken", "hint": "another --port"}
        sys.stdout.write(json.dumps({"schema_version": 1, "status": "error", "error": error}))
        return 1
    if how == "crashes":
        raise RuntimeError("boom")

    from support.operator import served

    with served(home, os.getpid()) as daemon:
        signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        daemon.wait(60)
    if how == "stubborn":
        threading.Event().wait(60)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    # What `processes.detach` appends comes after these two.
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
