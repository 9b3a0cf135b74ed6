"""Real daemons, forked from one preloaded parent per module."""

import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gossipd_scenarios.fleet import Fleet, Member
from support.fleet import running_fleet

_names = (f"daemon{number}" for number in itertools.count())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet() -> AsyncIterator[Fleet]:
    async with running_fleet() as fleet:
        yield fleet


@pytest_asyncio.fixture(loop_scope="module")
async def daemon(request: pytest.FixtureRequest, fleet: Fleet) -> AsyncIterator[Member]:
    """A fresh daemon on digits, with the module's SETTINGS; gone at the end of the test, and it
    must not have ended before."""
    member = await fleet.start(next(_names), getattr(request.module, "SETTINGS", {}))
    yield member
    fleet.check()
    if member.running:
        await member.kill()
