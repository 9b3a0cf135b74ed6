"""One node of W1 under hivemind 1.1.12, for `hivemind_w1`; runs in an environment that has that.

    PYTHON hivemind_worker.py SHARD.npz FOLDER ROUNDS STEPS [INITIAL PEER ...]

Says {"peer": multiaddress} when it listens, waits for a line, then for each round trains STEPS
mini-batches and averages its parameters with whom it finds, and says {"round", "time", "group"}.
The model after each round is written into FOLDER if there is one ("-": not).
"""

import json
import sys
import time
from contextlib import suppress

import hivemind  # type: ignore[import-not-found]
import numpy as np
import torch
from torch import nn

BATCH, LR = 32, 0.1
MATCHMAKING_SECONDS = 1.0
"""hivemind's default is 5; what it was measured with before, as the better one here."""
AVERAGING_SECONDS = 20.0
STARTUP_SECONDS = 300.0
"""For its libp2p daemon: its default of 15 is too short for ten at once on two busy cores."""


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main() -> None:
    shard, folder, rounds, steps, *peers = sys.argv[1:]
    torch.set_num_threads(1)
    held = np.load(shard)
    inputs, labels = torch.from_numpy(held["inputs"]), torch.from_numpy(held["labels"])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10))
    dht = hivemind.DHT(
        initial_peers=peers,
        host_maddrs=["/ip4/127.0.0.1/tcp/0"],
        startup_timeout=STARTUP_SECONDS,
        start=True,
    )
    parameters = [parameter.data for parameter in model.parameters()]
    averager = hivemind.averaging.DecentralizedAverager(
        averaged_tensors=[parameter.clone() for parameter in parameters],
        dht=dht,
        prefix="w1",
        target_group_size=16,
        min_matchmaking_time=MATCHMAKING_SECONDS,
        start=True,
    )
    say(peer=str(dht.get_visible_maddrs()[0]))
    sys.stdin.readline()
    descent = torch.optim.SGD(model.parameters(), lr=LR)
    order = torch.Generator().manual_seed(int(held["seed"]))
    for number in range(1, int(rounds) + 1):
        rows = torch.cat([torch.randperm(len(labels), generator=order) for _ in range(2)])
        for step in range(int(steps)):
            chosen = rows[step * BATCH : (step + 1) * BATCH]
            descent.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()
        with averager.get_tensors() as shared:
            for theirs, ours in zip(shared, parameters, strict=True):
                theirs.copy_(ours)
        group = None
        with suppress(TimeoutError):  # alone, or too slow: the round is its own
            group = averager.step(timeout=AVERAGING_SECONDS)
        with averager.get_tensors() as shared:
            for theirs, ours in zip(shared, parameters, strict=True):
                ours.copy_(theirs)
        say(round=number, time=time.time(), group=len(group or ()))
        if folder != "-":
            vector = torch.cat([parameter.flatten() for parameter in parameters])
            np.save(f"{folder}/round-{number}.npy", vector.numpy())
    sys.stdin.readline()
    averager.shutdown()
    dht.shutdown()


if __name__ == "__main__":
    main()
