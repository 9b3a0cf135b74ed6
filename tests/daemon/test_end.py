"""The end of a daemon that somebody waits for."""

import os
from pathlib import Path

import psutil

from gossipd.config import paths_of
from gossipd.control.client import Client
from support.command import following, gossipd
from support.waiting import until

SECONDS = 60.0
CPU_SECONDS = 0.5
"""Ours: about .1 are used, loading what the stop itself needs; Python's own teardown takes 1.0."""


def used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def test_stopping_does_what_must_be_done_and_no_more(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with following("start", "--no-mdns", "--listen", "127.0.0.1", home=home) as daemon:
        trains = Client(paths_of(home).socket)
        assert daemon.stderr is not None
        while not daemon.stderr.readline().startswith("join"):
            assert daemon.poll() is None
        until(lambda: trains.status()["training"]["cycles"] > 0, SECONDS, "training")
        before = used(psutil.Process(daemon.pid))
        assert gossipd("stop", home=home).code == 0
        *_, usage = os.wait4(daemon.pid, 0)
        daemon.returncode = 0
        assert "stopping" in daemon.stderr.read()
    assert usage.ru_utime + usage.ru_stime - before < CPU_SECONDS
    assert not paths_of(home).socket.exists()
