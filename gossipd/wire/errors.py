"""What a peer did wrong, as one exception with a stable reason."""


class WireError(Exception):
    """Bytes from outside that are not what they must be.

    `reason` is a short stable token (it names a counter in `status`); `detail` is for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
