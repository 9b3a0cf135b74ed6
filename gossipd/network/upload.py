"""A limit on what this node gives: bodies go out at so many bytes a second, all peers together."""

import trio

PIECE_BYTES = 16 * 1024


class Upload:
    """Takes turns: who asks next waits until all before it has gone out at the rate."""

    def __init__(self, rate: float) -> None:
        """`rate` in bytes a second; 0: no limit."""
        self.rate = rate
        """Whoever waits for its turn already keeps it when this is changed, from any thread."""
        self._free_at = 0.0

    def piece(self, size: int) -> int:
        """How much to write at once of `size` bytes: about a second's worth, so that nobody who
        reads takes the waiting for a dead connection."""
        return size if not self.rate else max(1, min(size, PIECE_BYTES, int(self.rate)))

    async def turn(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        if not self.rate:
            return
        now = trio.current_time()
        start = max(self._free_at, now)
        self._free_at = start + size / self.rate
        if start > now:
            await trio.sleep_until(start)
