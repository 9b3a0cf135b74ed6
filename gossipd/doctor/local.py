"""This home and this machine: key, lock, configuration, port, clock, disk, multicast, version."""

import errno
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gossipd import __version__
from gossipd.config import Config, Paths, load
from gossipd.doctor.findings import Finding, bad, doubtful, good, skipped
from gossipd.doctor.machine import Machine
from gossipd.errors import OperatorError
from gossipd.members.identity import load as load_identity
from gossipd.members.membership import Books

Document = dict[str, Any]

CLOCK_SECONDS = 300.0
"""How far a clock may be off before it is called wrong: ours; memberships end by the calendar, and
nobody sets an end closer than minutes."""
DISK_ERROR_BYTES = 50_000_000
"""A model, its body and the database's log at once, of the largest ready-made task, several times
over; a guess."""
DISK_WARNING_BYTES = 500_000_000


def examine(
    paths: Paths,
    machine: Machine,
    status: Document | None,
    models: Sequence[Document] = (),
    peers: Sequence[Document] = (),
) -> Iterator[Finding]:
    """The checks in order. `status`, `models` of others and `peers` are those of the daemon that
    runs here; None: none does."""
    key = _key(paths)
    yield key
    yield _lock(paths, machine, status)
    config: Config | None = None
    try:
        config = load(paths.home)
        yield good("configuration", f"{paths.config} holds")
    except OperatorError as error:
        yield bad("configuration", error.code, error.message, error.hint)
    yield _port(config, machine, status)
    clock = _clock(paths, machine, key.verdict == "ok", models)
    yield _clock_of_peers(peers) or clock if clock.verdict == "ok" else clock
    yield _disk(paths, machine)
    yield _multicast(config, machine)
    yield _version(paths, status)
    if status is not None:
        yield _reachable(status)


def _key(paths: Paths) -> Finding:
    try:
        identity = load_identity(paths.identity)
    except OperatorError as error:
        return bad("key", error.code, error.message, error.hint)
    return good("key", f"{paths.identity} is nobody else's: {identity.peer_id}")


def _lock(paths: Paths, machine: Machine, status: Document | None) -> Finding:
    try:
        holder = machine.lock_holder(paths.lock)
    except OSError as error:
        fix = f"chown $(id -u) {paths.lock}"
        return bad("lock", "lock-unusable", f"{paths.lock}: {error.strerror}", fix)
    if status is not None:
        return good("lock", f"the daemon runs, pid {status['pid']}")
    if holder is None:
        return good("lock", "free: no daemon runs here")
    return bad(
        "lock",
        "home-locked",
        f"process {holder} holds {paths.lock}, and no daemon answers on {paths.socket}",
        f"wait if it starts; `kill {holder}` ends it if it hangs; or choose another --home",
    )


def _port(config: Config | None, machine: Machine, status: Document | None) -> Finding:
    if config is None:
        return skipped("port", "the configuration does not hold")
    if status is not None:
        return _own_addresses(machine, status)
    listen, port = config.network.listen, config.network.port
    try:
        machine.bind(listen, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return bad(
                "port",
                "port-taken",
                f"something else listens on port {port}",
                f"`ss -ltnp 'sport = :{port}'` names it; or set network.port to another, 0: any",
            )
        fix = (
            "ports below 1024 are the system's: set network.port to another"
            if error.errno == errno.EACCES
            else f"set network.listen to an address of this machine, not {listen}"
        )
        return bad("port", "port-unusable", f"{listen}:{port}: {error.strerror}", fix)
    return good("port", f"{listen}:{port or 'any port'} is free")


def _own_addresses(machine: Machine, status: Document) -> Finding:
    places = list(map(_place, status["addresses"]))
    failed: list[str] = []
    for host, port in places:
        try:
            machine.connect(host, port)
        except OSError as error:
            failed.append(f"{host}:{port}: {error.strerror or error}")
    if places and len(failed) == len(places):
        return bad(
            "port",
            "port-blocked",
            f"this machine does not reach its own port: {'; '.join(failed)}",
            f"let TCP port {places[0][1]} through its firewall, as with "
            f"`ufw allow {places[0][1]}/tcp`",
        )
    if not places:
        return skipped("port", "no address is announced")
    return good("port", f"answers at {', '.join(f'{h}:{p}' for h, p in places)}")


def _place(address: str) -> tuple[str, int]:
    """(host, port) of a multiaddress."""
    _, _, host, _, port, *_ = address.split("/")
    return host, int(port)


def _clock(paths: Paths, machine: Machine, readable: bool, models: Sequence[Document]) -> Finding:
    now = machine.wall()
    witnesses = {
        "this gossipd was installed": _modified(Path(__file__)),
        "the state directory was written": max(
            map(_modified, (paths.database, paths.config, paths.identity)), default=0.0
        ),
        "a peer has trained": max((row["created"] or 0.0 for row in models), default=0.0),
    }
    if readable:
        try:
            own = Books(paths.members, load_identity(paths.identity), paths.database).own()
            if own is not None:
                witnesses["the founder let this device in"] = own.membership.serial / 1000
        except OperatorError as error:
            return doubtful("clock", error.code, error.message, error.hint)
    what, latest = max(witnesses.items(), key=lambda witness: witness[1])
    told = f"it says {_day(now)}"
    if latest > now + CLOCK_SECONDS:
        return bad(
            "clock",
            "clock-off",
            f"{told}, and {what} at {_day(latest)}: {_span(latest - now)} later",
            "set it: `timedatectl set-ntp true`, or by hand where there is no internet; a "
            "membership ends by it",
        )
    return good("clock", f"{told}, after all that is dated here")


def _clock_of_peers(peers: Sequence[Document]) -> Finding | None:
    """What peers' calendars say; None: nothing against this one."""
    told = [row["clock"] for row in peers if row["clock"] is not None]
    if not told:
        return None
    middle = statistics.median(told)
    if abs(middle) <= CLOCK_SECONDS:
        return None
    side = "ahead of" if middle > 0 else "behind"
    evidence = f"the calendars of {len(told)} peers are {_span(abs(middle))} {side} this machine's"
    fix = "see which of them is right: `date -u` on both; then `timedatectl set-ntp true`"
    return bad("clock", "clock-off", evidence, fix)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _disk(paths: Paths, machine: Machine) -> Finding:
    free = machine.free_bytes(paths.home)
    told = f"{free / 1e6:,.0f} MB are free for {paths.home}"
    fix = "make room, move the home to another disk (--home), or lower storage.quota_mb"
    if free < DISK_ERROR_BYTES:
        return bad("disk", "disk-full", told, fix)
    if free < DISK_WARNING_BYTES:
        return doubtful("disk", "disk-low", told, fix)
    return good("disk", told)


def _multicast(config: Config | None, machine: Machine) -> Finding:
    if config is not None and not config.network.mdns:
        return skipped("multicast", "network.mdns is off: peers are not looked for")
    try:
        machine.multicast()
    except OSError as error:
        return doubtful(
            "multicast",
            "no-multicast",
            f"a datagram to mDNS's group is not heard: {error.strerror or error}",
            "peers of this network are not found by themselves: give their addresses "
            "(`gossipd peers add`, an invitation), or `ip route add 224.0.0.0/4 dev <interface>`",
        )
    return good("multicast", "this machine hears what it says to mDNS's group")


def _version(paths: Paths, status: Document | None) -> Finding:
    if status is not None and status["version"] != __version__:
        return bad(
            "version",
            "old-version",
            f"the daemon that runs is gossipd {status['version']}, this command is {__version__}",
            "gossipd stop; gossipd start",
        )
    from gossipd.storage.peek import state_is_newer

    if state_is_newer(paths.database):
        return bad(
            "version",
            "state-too-new",
            f"a newer gossipd than {__version__} has written {paths.database}",
            "upgrade gossipd",
        )
    return good("version", f"gossipd {__version__}")


def _reachable(status: Document) -> Finding:
    """Whether others dial this node. That some did is the only proof there is."""
    inbound = status["network"].get("inbound", 0)
    if inbound:
        return good("reachable", f"{inbound} connected peers have dialled this node")
    if not status["network"]["connected"]:
        return skipped("reachable", "nobody is connected, so nothing tells")
    places = ", ".join(f"{h}:{p}" for h, p in map(_place, status["addresses"])) or "no address"
    return doubtful(
        "reachable",
        "not-reachable",
        f"all connections were dialled from here; {places} may lie behind a router",
        "fine as long as some peer is reachable; else forward a TCP port to this machine and set "
        "network.port and network.announce (docs/deploy.md)",
    )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(seconds, 0.0)))


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} seconds"


def summary(findings: Sequence[Finding]) -> Mapping[str, int]:
    """How many of each verdict."""
    counts = dict.fromkeys(("ok", "warning", "error", "skipped"), 0)
    for finding in findings:
        counts[finding.verdict] += 1
    return counts
