"""The daemons that one dashboard follows: a single one, or all of a scenario while it runs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gossipd.control.client import Client
from gossipd_dashboard.feed import Feed
from gossipd_dashboard.run import Run


class Fleet:
    """Feeds by name, in their order."""

    def __init__(self, sockets: Mapping[str, Path], run: Run | None = None) -> None:
        """`sockets`: where each daemon listens. `run`: what is told of a scenario."""
        self.run = run
        self.feeds = {
            name: Feed(name, Client(path), share=len(sockets)) for name, path in sockets.items()
        }

    @property
    def first(self) -> str:
        return next(iter(self.feeds))

    @property
    def several(self) -> bool:
        return len(self.feeds) > 1

    async def follow(self) -> None:
        """Follow all of them until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for feed in self.feeds.values():
                tasks.create_task(feed.run())
