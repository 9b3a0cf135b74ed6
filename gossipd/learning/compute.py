"""What the compute worker's thread does to itself: give way to what people do on the machine.

Linux keeps priorities per thread, so the daemon's loop and network stay at the normal one. The
thread is nice, not SCHED_IDLE: what it holds while others run is the interpreter's lock, and an
idle-class thread that is not scheduled keeps its own daemon's loop waiting. Ours, measured on two
cores, the loop's greatest lateness and mini-batches per second of a small model, by the number of
busy processes beside it:

                  0 others          2 others          4 others
    SCHED_IDLE    139 ms   822     4 ms    14       3149 ms     7
    nice 19        10 ms  7145   323 ms    95       1318 ms    39
    nice 10        10 ms  5968    92 ms   501         72 ms   303
    normal          3 ms  7387     6 ms  4486         24 ms  2672
"""

import os
import sys
import threading
from pathlib import Path

GROUP = Path("/proc/self/autogroup")
"""Where Linux has it (sched(7)): a session's threads share the processor among themselves by their
nice values, but with other sessions by this one."""


def give_way(niceness: int) -> bool:
    """Make the calling thread, and those it will start, nice; whether that was possible.

    10 is about a tenth of a normal thread's share where the processor is contended (sched(7)).

    Elsewhere than on Linux niceness is the whole process's, network included: nothing is changed.
    """
    if sys.platform != "linux":
        return False
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    except OSError:
        # It is nicer already, and may not become less so.
        return False
    return True


def stand_back(niceness: int, group: Path = GROUP) -> bool:
    """Make the whole session nice towards others, where it is this process's own; whether it is.

    A daemon that was detached, or is a service, leads its session: without this its threads' nice
    values say nothing to what people do in theirs. In a terminal the session is the person's. Ours,
    measured by benchmarks/guest.py.
    """
    if os.getsid(0) != os.getpid():
        return False
    try:
        group.write_text(str(niceness), "ascii")
    except OSError:
        return False  # no such kernel, or changed a moment ago
    return True
