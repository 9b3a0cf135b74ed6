"""The daemons that one dashboard follows: a single one, or all of a scenario while it runs."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from gossipd.control.client import Client
from gossipd_dashboard.feed import Feed
from gossipd_dashboard.run import Run

RUN_SECONDS = 0.5
"""Between two looks at a scenario's file."""


class Fleet:
    """Feeds by name, in their order."""

    def __init__(self, sockets: Mapping[str, Path], run: Run | None = None) -> None:
        """`sockets`: where each daemon listens. `run`: what is told of a scenario."""
        self.run = run
        self.feeds = {
            name: Feed(name, Client(path), share=len(sockets)) for name, path in sockets.items()
        }

    @classmethod
    def of_run(cls, folder: Path) -> Self:
        """The daemons of a scenario that writes into `folder`. Raises as `Run`."""
        run = Run(folder)
        return cls(run.sockets, run)

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
            if self.run is not None:
                tasks.create_task(self._follow_run(self.run))

    async def _follow_run(self, run: Run) -> None:
        """A scenario that is run twice, for comparison, has its daemons elsewhere then."""
        while True:
            await asyncio.sleep(RUN_SECONDS)
            if await asyncio.to_thread(run.look):
                for name, path in run.sockets.items():
                    if name in self.feeds and self.feeds[name].client.path != path:
                        self.feeds[name].client = Client(path)
