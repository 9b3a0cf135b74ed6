"""A switch of our own: every daemon in a network namespace, joined by a bridge in another one.

What is lost there is lost in the kernel, rates are the kernel's (tc tbf), and multicast works, so
daemons find each other with no address typed. It takes iproute2 and the right to make namespaces:
root has it, others where the system gives them user namespaces. The namespaces have no names: they
end with the processes in them, however those end.

Runs in the daemons' parent, before it has a second thread.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
"""From <linux/sched.h>."""
COMMAND_SECONDS = 10.0
BURST_SECONDS = 0.02
LEAST_BURST = 3000
"""Bytes that a limited line lets through at once: two packets, or a fiftieth of a second."""
QUEUE = "200ms"
"""What a limited line holds back before it drops; ours, a home router's."""
NOBODY = "02:00:00:00:00:00"
"""A hardware address that no card on the bridge has: what is sent there is lost."""


class Unavailable(Exception):
    """This system, or this user, cannot have it. Says why, in words."""


class Switch:
    """The bridge and what is plugged into it."""

    def __init__(self) -> None:
        """Moves this process into the bridge's namespace. Unavailable."""
        for tool in ("ip", "tc"):
            if shutil.which(tool) is None:
                raise Unavailable(f"the program {tool!r} is missing (Debian: iproute2)")
        self._nodes: dict[str, tuple[int, int]] = {}
        """Name -> number and namespace."""
        _unshare()
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _run("ip", ["link set lo up", "link add name bridge type bridge", "link set bridge up"])

    @property
    def descriptors(self) -> list[int]:
        """What a forked child must not keep."""
        return [self._home, *(namespace for _, namespace in self._nodes.values())]

    def plug(self, name: str) -> int:
        """The namespace of a node, made at its first life: to be entered by the child."""
        if name not in self._nodes:
            number = len(self._nodes) + 1
            libc().unshare(CLONE_NEWNET)
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                there = f"/proc/{os.getpid()}/fd/{self._home}"
                _run(
                    "ip",
                    [
                        "link set lo up",
                        f"link add name eth0 type veth peer name port{number} netns {there}",
                        f"addr add {address(number)}/16 dev eth0",
                        "link set eth0 up",
                    ],
                )
            finally:
                enter(self._home)
            _run("ip", [f"link set port{number} master bridge up"])
            self._nodes[name] = number, namespace
        return self._nodes[name][1]

    def limit(self, names: Iterable[str], rate: float) -> None:
        """Let nodes send so many bytes per second; 0: as many as they can."""
        burst = max(LEAST_BURST, int(rate * BURST_SECONDS))
        limit = f"tbf rate {int(rate * 8)}bit burst {burst} latency {QUEUE}" if rate else "noqueue"
        for name in names:
            self._inside(name, "tc", [f"qdisc replace dev eth0 root {limit}"])

    def silence(self, pairs: Iterable[tuple[str, str]], silent: bool) -> None:
        """Lose what a sender sends to a receiver, or no longer. Multicast comes through."""
        commands: dict[str, list[str]] = {}
        for sender, receiver in pairs:
            where = address(self._nodes[receiver][0])
            to_nobody = f"neigh replace {where} lladdr {NOBODY} dev eth0 nud permanent"
            commands.setdefault(sender, []).append(
                to_nobody if silent else f"neigh del {where} dev eth0"
            )
        for sender, lines in commands.items():
            self._inside(sender, "ip", lines)

    def _inside(self, name: str, tool: str, lines: Sequence[str]) -> None:
        enter(self._nodes[name][1])
        try:
            _run(tool, lines)
        finally:
            enter(self._home)


def address(number: int) -> str:
    """The IP address of the node that was plugged in as this one."""
    return f"10.77.{number // 250}.{number % 250 + 1}"


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def enter(namespace: int) -> None:
    """Move this process into a network namespace."""
    if libc().setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc().unshare(flags):
        reason = os.strerror(ctypes.get_errno())
        raise Unavailable(f"this user may not make network namespaces here: {reason}")
    if user:
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with open(f"/proc/self/{file}", "w") as mapping:
                mapping.write(text)


def _run(tool: str, lines: Sequence[str]) -> None:
    """A batch of commands of ip or tc, in the namespace that this process is in. Unavailable."""
    done = subprocess.run(
        [tool, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"{tool} refuses {lines}: {done.stderr.strip()}")
