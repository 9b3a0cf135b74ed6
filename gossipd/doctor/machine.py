"""What the doctor asks of this machine; tests stage faults here that cannot be made for real."""

import errno
import fcntl
import os
import shutil
import socket
import struct
import time
from pathlib import Path

MULTICAST_GROUP = "224.0.0.251"
"""mDNS's (RFC 6762)."""
MULTICAST_SECONDS = 1.0
CONNECT_SECONDS = 3.0
"""For one TCP connection: ours, ample for a radio mesh."""


class Machine:
    """The real one."""

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def free_bytes(self, path: Path) -> int:
        """Of the file system that `path` lies on, as far as this user may use it."""
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def bind(self, listen: str, port: int) -> None:
        """Raises OSError when nobody could listen there now."""
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen, port))

    def connect(self, host: str, port: int) -> None:
        """Raises OSError (TimeoutError among them) when nobody answers there."""
        socket.create_connection((host, port), CONNECT_SECONDS).close()

    def multicast(self) -> None:
        """Send a datagram to mDNS's group and hear it, without it leaving this machine.

        Raises OSError, TimeoutError when it is not heard.
        """
        word = os.urandom(16)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind(("", 0))
            group = struct.pack("4s4s", socket.inet_aton(MULTICAST_GROUP), bytes(4))
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            ear.settimeout(MULTICAST_SECONDS)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            mouth.sendto(word, (MULTICAST_GROUP, ear.getsockname()[1]))
            deadline = time.monotonic() + MULTICAST_SECONDS
            while ear.recv(64) != word:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def lock_holder(self, path: Path) -> str | None:
        """Who holds the lock of a state directory: a process id, "somebody"; None: nobody."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(descriptor, 32, 0).strip()
            return said.decode() if said.isdigit() else "somebody"
        finally:
            os.close(descriptor)
        return None
