"""What the C library keeps of memory that was freed: given back to the machine now and then.

glibc raises its threshold for mapped blocks as soon as one is freed: models come from its arenas
afterwards, and it keeps their holes. To hold the threshold down would cost a page fault for every
4 KB of every model (half as much CPU again for a round of benchmarks/w1.py's work); to trim every
quarter of a minute costs next to nothing, and takes 59 MB of a started daemon to 45.
"""

import ctypes
import sys


def give_back() -> bool:
    """Free pages of all arenas go back to the machine; False where the C library cannot do that."""
    if sys.platform != "linux":
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
