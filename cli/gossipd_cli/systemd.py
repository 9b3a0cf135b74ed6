"""The daemon as a systemd unit: its text, its place, and asking systemd to look again.

The one module that knows systemd; elsewhere `gossipd start --detach` does without.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gossipd.errors import ExitCode, OperatorError

NAME = "gossipd.service"
SYSTEMCTL_SECONDS = 30.0

_UNIT = """\
# Written by `gossipd service install`; it may be edited, and is not overwritten without --force.
[Unit]
Description=gossipd: trains a model together with other machines, with no server
Documentation=https://www.freedesktop.org/software/systemd/man/systemd.service.html
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# The loop gives a sign of life every 24 s; torch and libp2p take seconds to load on a small board.
WatchdogSec=60
TimeoutStartSec=180
TimeoutStopSec=30
Restart=on-failure
RestartSec=5
# Usage, configuration, identity, already running: the same again would not help.
RestartPreventExitStatus=2 5 6 7
UMask=0077
{place}
# --- what it needs no right to ---
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
{hardening}
[Install]
WantedBy={target}
"""

_OF_USER = ""
_OF_SYSTEM = """\
DynamicUser=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=
SystemCallFilter=@system-service
"""


def unit(home: Path | None, *, system: bool, command: Sequence[str] | None = None) -> str:
    """The unit's text. A system's daemon has its home in /var/lib/gossipd unless one is given."""
    words = [*(command or _command()), "start"]
    if home is not None:
        words += ["--home", str(home)]
    if home is not None and system:
        place = f"ReadWritePaths={_quoted(str(home))}"
    elif system:
        place = (
            "StateDirectory=gossipd\nStateDirectoryMode=0700\nEnvironment=GOSSIPD_HOME=%S/gossipd"
        )
    else:
        place = "# The home is the user's own, of mode 0700."
    hardening = _OF_SYSTEM if system else _OF_USER
    if system and home is not None:
        # A directory of somebody's is written as its owner.
        hardening = hardening.replace("DynamicUser=yes", f"User={home.owner()}")
    return _UNIT.format(
        command=" ".join(map(_quoted, words)),
        place=place,
        hardening=hardening,
        target="multi-user.target" if system else "default.target",
    )


def place(*, system: bool, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the unit belongs."""
    if system:
        return Path("/etc/systemd/system") / NAME
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "systemd" / "user" / NAME


def systemctl(*words: str, system: bool) -> None:
    """OperatorError "no-systemd" where there is none that answers, "systemctl" when it refuses."""
    command = ["systemctl", *([] if system else ["--user"]), *words]
    program = shutil.which("systemctl")
    said = f"`{' '.join(command)}`"
    if program is None:
        raise OperatorError(
            "no-systemd",
            f"there is no systemctl here for {said}",
            "`gossipd start --detach` runs it without systemd",
        )
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OperatorError(
            "systemctl",
            f"{said} did not answer within {SYSTEMCTL_SECONDS:g} s",
            "try it by hand",
            ExitCode.TIMEOUT,
        ) from None
    if done.returncode:
        words_of = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise OperatorError("systemctl", f"{said}: {words_of}", "try it by hand")


def _command() -> list[str]:
    """How this very gossipd is run."""
    beside = Path(sys.executable).with_name("gossipd")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "gossipd_cli"]


def _quoted(word: str) -> str:
    """A word of ExecStart=, as systemd.syntax(7) has it."""
    escaped = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != word or " " in word else word
