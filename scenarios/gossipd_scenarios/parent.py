"""The preloaded parent of a fleet: imports what a daemon needs once, then forks one per request.

Importing torch and libp2p takes seconds of CPU; a fork of who has done it takes milliseconds and
shares its memory. For that to be safe this process starts no thread and runs no torch operation:
a fork takes along only the thread that forks, and whatever lock another one held stays locked.

    engine (fleet.py)                        parent                        daemon
    {"start": name, "home", "log",
     "clock", "role"}                  ->    fork                     ->   gossipd.daemon.run
                                       <-    {"started": name, "pid"}
                                       <-    {"ready": name, ...}     <-   on_ready
    {"isolate": true, "id"}, {"plug"},
    {"limit"}, {"silence"}             ->    (namespaces.py)
                                       <-    {"done": id, "error": null | text}
    {"signal": name, "number"}         ->    kill
                                       <-    {"ended": name, "code"}  <-   (its end)

JSON lines over one socket. When that socket closes, however the engine ended, every daemon is
killed and this process ends; when this process is killed, the kernel kills the daemons. An engine
that closes it without {"bye": true} has been killed: then its directory is removed, if it gave one.

    python -m gossipd_scenarios.parent DESCRIPTOR [DIRECTORY]
"""

import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gossipd.config import load, paths_of
from gossipd.errors import OperatorError
from gossipd_scenarios.lifeline import die_with
from gossipd_scenarios.real.namespaces import Switch, Unavailable, enter

if TYPE_CHECKING:
    from gossipd.daemon import Ready

READ_BYTES = 65_536
REMOVE_SECONDS = 5.0

Message = dict[str, Any]


@dataclass(slots=True)
class Child:
    """A daemon that has not been reaped, so its pid is nobody else's."""

    name: str
    pid: int
    ready: int
    """Read end of the pipe on which it says, once, that it is ready."""
    said: bytes = b""


class Parent:
    """Forks daemons for the engine at the other end of `control`."""

    def __init__(self, control: socket.socket, directory: Path | None) -> None:
        """`directory` is removed if the engine ends without a word."""
        self._control = control
        self._directory = directory
        self._switch: Switch | None = None
        """Where daemons have network namespaces of their own."""
        self._heard = b""
        self._children: dict[str, Child] = {}
        # Not epoll: that is a descriptor of its own, which children would share.
        self._selector = selectors.PollSelector()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)  # which a signal's wake-up needs

    def serve(self) -> None:
        """Until the engine closes its end. Leaves no child."""
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the pipe is written
        self._selector.register(self._control, selectors.EVENT_READ, self._on_request)
        self._selector.register(self._wake, selectors.EVENT_READ, self._on_child)
        try:
            self._tell({"preloaded": os.getpid(), "threads": _threads()})
            while True:
                for key, _ in self._selector.select():
                    key.data()
        except (EOFError, ConnectionError):
            pass  # the engine is gone
        finally:
            for child in self._children.values():
                os.kill(child.pid, signal.SIGKILL)
            for child in self._children.values():
                os.waitpid(child.pid, 0)
            if self._directory is not None:
                _remove(self._directory)

    def _tell(self, message: Message) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")

    def _on_request(self) -> None:
        received = self._control.recv(READ_BYTES)
        if not received:
            raise EOFError
        *lines, self._heard = (self._heard + received).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "start" in request:
                files = [Path(request[key]) for key in ("home", "log", "clock")]
                self._start(request["start"], *files, role=request["role"])
            elif "bye" in request:
                self._directory = None
            elif "id" in request:
                self._tell({"done": request["id"], "error": self._wire(request)})
            else:
                self._signal(request["signal"], request["number"])

    def _wire(self, request: Message) -> str | None:
        """Do something to the daemons' network; why it could not be done."""
        try:
            if self._switch is None:
                self._switch = Switch()
            match request:
                case {"plug": names}:
                    for name in names:
                        self._switch.plug(name)
                case {"limit": names, "rate": rate}:
                    self._switch.limit(names, rate)
                case {"silence": pairs, "silent": silent}:
                    self._switch.silence(pairs, silent)
        except (Unavailable, OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None

    def _start(
        self, name: str, home: Path, log: Path, clock: Path, *, role: Message | None
    ) -> None:
        ready, saying = os.pipe()
        namespace = None if self._switch is None else self._switch.plug(name)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            if namespace is not None:
                enter(namespace)
            _be_daemon(home, log, clock, role, saying, parent, [ready, *self._descriptors()])
        os.close(saying)
        child = self._children[name] = Child(name, pid, ready)
        self._selector.register(ready, selectors.EVENT_READ, lambda: self._on_ready(child))
        self._tell({"started": name, "pid": pid})

    def _descriptors(self) -> list[int]:
        """What is the parent's alone: a daemon closes its copies.

        One that held on to the control socket would keep the engine from seeing the parent's end.
        """
        waited_for = [child.ready for child in self._children.values() if child.ready >= 0]
        namespaces = [] if self._switch is None else self._switch.descriptors
        return [self._control.fileno(), self._wake, self._woken, *waited_for, *namespaces]

    def _on_ready(self, child: Child) -> None:
        if child.ready < 0:
            return  # its end was seen first, in the same round
        said = os.read(child.ready, READ_BYTES)
        child.said += said
        if said and not child.said.endswith(b"\n"):
            return
        self._selector.unregister(child.ready)
        os.close(child.ready)
        child.ready = -1
        if child.said:
            self._tell({"ready": child.name, **json.loads(child.said)})

    def _on_child(self) -> None:
        os.read(self._wake, READ_BYTES)
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            self._on_ready(child)  # what it still said; its end of the pipe is closed: no wait
            del self._children[child.name]
            self._tell({"ended": child.name, "code": os.waitstatus_to_exitcode(status)})

    def _signal(self, name: str, number: int) -> None:
        child = self._children.get(name)
        if child is not None:
            os.kill(child.pid, number)


def _be_daemon(
    home: Path,
    log: Path,
    clock: Path,
    role: Message | None,
    saying: int,
    parent: int,
    not_ours: Iterable[int],
) -> NoReturn:
    """What a forked child does with the rest of its life. `role`: of a scenario that has liars."""
    code = 1
    try:
        die_with(parent)
        os.setsid()  # Ctrl-C in the engine's terminal is the engine's affair
        signal.set_wakeup_fd(-1)
        for descriptor in not_ours:
            os.close(descriptor)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _redirect(log)
        gc.enable()
        from gossipd import daemon
        from gossipd_scenarios.clock import ShiftedClock

        with _playing(home, role):
            code = daemon.run(load(home), home, _announcer(saying), clock=ShiftedClock(clock))
    except OperatorError as error:
        code = error.exit_code
        sys.stderr.write(f"error[{error.code}]: {error.message}\nhint: {error.hint}\n")
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Never back into the parent's loop, and never through what the parent registered atexit.
        sys.stderr.flush()
        os._exit(code)


def _playing(home: Path, role: Message | None) -> AbstractContextManager[None]:
    if role is None:
        return nullcontext()
    from gossipd.members.identity import load_or_create
    from gossipd_scenarios.hostile import Role, process_playing

    me = load_or_create(paths_of(home).identity).peer_id
    return process_playing(me, Role(**role))


def _announcer(saying: int) -> "Callable[[Ready], None]":
    def announce(ready: "Ready") -> None:
        document = {
            "peer_id": ready.peer_id,
            "addresses": list(ready.addresses),
            "join": ready.join,
            "port": ready.port,
        }
        os.write(saying, json.dumps(document).encode() + b"\n")
        os.close(saying)

    return announce


def _redirect(log: Path) -> None:
    """Standard output and error into the log file; nothing to read on standard input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.close(nothing)
    os.close(written)


def _remove(directory: Path) -> None:
    """What the engine would have removed. Its other processes end at the same time, and may still
    write."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.05)


def _threads() -> int | None:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else None


def main() -> None:
    """See the header. Ends by the socket alone, not by a signal: there may be things to remove."""
    control = socket.socket(fileno=int(sys.argv[1]))
    directory = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    control.set_inheritable(False)
    gc.disable()
    import gossipd_scenarios.clock  # noqa: F401  (this is the preloading: it needs the daemon)

    # What is there now is shared by all children: their collectors leave it alone. No collection
    # before: the holes it leaves are filled by each child with pages of its own (8 MB, measured).
    gc.freeze()
    Parent(control, directory).serve()


if __name__ == "__main__":
    main()
