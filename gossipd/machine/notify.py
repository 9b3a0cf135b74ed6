"""Telling systemd how the daemon is: up, alive, stopping (sd_notify(3)). Elsewhere it says nothing.

The watchdog is fed by the loop itself, so that a loop that hangs is noticed.
"""

import asyncio
import os
import socket
from collections.abc import Mapping

SHARE = 0.4
"""Of the watchdog's time between two signs of life: two may be lost (sd_watchdog_enabled(3) asks
for half)."""


def tell(words: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send such as "READY=1"; whether anybody was there to be told."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place:
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as mouth:
            mouth.settimeout(1.0)
            mouth.connect(address)
            mouth.send(words.encode())
    except OSError:
        return False  # whoever started us listens no more; nothing depends on it
    return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often systemd wants a sign of life; None: it does not, or not of this process."""
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (text.isdigit() and int(text)) or pid not in ("", str(os.getpid())):
        return None
    return int(text) / 1e6


async def feed_watchdog(environ: Mapping[str, str] = os.environ) -> None:
    """Until it is cancelled; at once where nobody watches."""
    seconds = watchdog_seconds(environ)
    while seconds is not None:
        tell("WATCHDOG=1", environ)
        await asyncio.sleep(seconds * SHARE)
