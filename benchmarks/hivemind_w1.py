"""W1 under hivemind 1.1.12, in an environment of its own: `w1 --hivemind-python PYTHON`.

The same data, shards, perceptron, mini-batches and rate as `w1`; every process of hivemind's (its
libp2p daemon too) counts. Its clock starts when all nodes are up, and a round lasts until all have
averaged.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from gossipd.learning.idx import IdxImages
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard

WORKER = Path(__file__).with_name("hivemind_worker.py")
UP_SECONDS = 400.0
"""Ten of them import torch at once: 40 s on two idle cores, minutes on busy ones."""
ROUND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured."""

    launch: float
    """Seconds until all are up."""
    ends: Sequence[float]
    """Unix seconds: the start, then each round's end."""
    cpu: float
    """CPU seconds of all rounds, all nodes."""
    sent: float
    """Bytes on `lo` in all rounds."""
    memory: float
    """Bytes of a node: proportional share (PSS) of all its processes."""
    groups: Sequence[int]
    """The smallest group of each round."""
    accuracy: Sequence[float]
    """Of node 0's model after each round."""


async def run(
    python: Path, data: Path, nodes: int, rounds: int, steps: int, seed: int, judge: TorchLearner
) -> Run:
    """`judge` tests the models."""
    with tempfile.TemporaryDirectory(prefix="gossipd-hivemind-") as name:
        folder = Path(name)
        task = IdxImages(data, seed)
        for node in range(nodes):
            inputs, labels = task.train_data(Shard("iid", node, nodes, seed=seed))
            np.savez(
                folder / f"{node}.npz", inputs=inputs.numpy(), labels=labels.numpy(), seed=node
            )
        began = time.monotonic()
        workers: list[asyncio.subprocess.Process] = []
        try:
            peers: list[str] = []
            for node in range(nodes):
                workers.append(await _start(python, folder, node, rounds, steps, peers[:1]))
                if not peers:
                    peers.append((await _said(workers[0], UP_SECONDS))["peer"])
            await asyncio.gather(*(_said(worker, UP_SECONDS) for worker in workers[1:]))
            launch = time.monotonic() - began
            measured = await _rounds(workers, rounds)
        finally:
            await _end(workers)
        vectors = [np.load(folder / f"round-{number + 1}.npy") for number in range(rounds)]
        accuracy = [judge.test(vector).accuracy or 0.0 for vector in vectors]
    ends, cpu, sent, memory, groups = measured
    return Run(launch, ends, cpu, sent, memory / nodes, groups, accuracy)


async def _start(
    python: Path, folder: Path, node: int, rounds: int, steps: int, peers: Sequence[str]
) -> asyncio.subprocess.Process:
    models = str(folder) if node == 0 else "-"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return await asyncio.create_subprocess_exec(
        *(str(python), str(WORKER), str(folder / f"{node}.npz"), models, str(rounds), str(steps)),
        *peers,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )


async def _said(worker: asyncio.subprocess.Process, seconds: float) -> dict[str, str]:
    assert worker.stdout is not None
    line = await asyncio.wait_for(worker.stdout.readline(), seconds)
    if not line:
        raise RuntimeError("a node of hivemind has ended: does this environment have it?")
    said: dict[str, str] = json.loads(line)
    return said


async def _rounds(
    workers: Sequence[asyncio.subprocess.Process], rounds: int
) -> tuple[list[float], float, float, float, list[int]]:
    cpu, sent = _cpu(workers), _sent()
    ends, groups = [time.time()], []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
    for _ in range(rounds):
        told = await asyncio.gather(*(_said(worker, ROUND_SECONDS) for worker in workers))
        ends.append(max(float(said["time"]) for said in told))
        groups.append(min(int(said["group"]) for said in told))
    return ends, _cpu(workers) - cpu, _sent() - sent, _memory(workers), groups


async def _end(workers: Sequence[asyncio.subprocess.Process]) -> None:
    """With all that they have started."""
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            for process in [*psutil.Process(worker.pid).children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        with suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()


def _tree(workers: Sequence[asyncio.subprocess.Process]) -> list[psutil.Process]:
    roots = [psutil.Process(worker.pid) for worker in workers]
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def _cpu(workers: Sequence[asyncio.subprocess.Process]) -> float:
    used = [process.cpu_times() for process in _tree(workers)]
    return float(sum(times.user + times.system for times in used))


def _memory(workers: Sequence[asyncio.subprocess.Process]) -> float:
    return sum(float(process.memory_full_info().pss) for process in _tree(workers))


def _sent() -> float:
    return float(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)
