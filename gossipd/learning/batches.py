"""The endless, reproducible stream of mini-batches. Pure numpy.

Epoch after epoch, each a permutation of its own, laid end to end and cut into batches of one
size: a batch may span two epochs, no batch is ever short, and in an epoch each example comes once.
Batch number n is a function of (seed, n) alone, so training that stops after batch n and goes on
with batch n + 1, in another process perhaps, sees what one uninterrupted run would have seen.
"""

from collections.abc import Iterator

import numpy as np

from gossipd.learning.partition import Indices


class BatchStream:
    """Mini-batches of positions below `examples`; at most `examples` in one batch."""

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        if examples < 1 or batch_size < 1 or seed < 0:
            raise ValueError(f"no stream of {batch_size} from {examples} examples, seed {seed}")
        self.batch_size = min(batch_size, examples)
        self._examples = examples
        self._seed = seed

    def epoch(self, number: int) -> int:
        """Which epoch the first example of batch `number` is of."""
        return number * self.batch_size // self._examples

    def take(self, first: int, count: int) -> Iterator[Indices]:
        """Batches number `first` to `first + count - 1`."""
        epoch, offset = divmod(first * self.batch_size, self._examples)
        order = self._permutation(epoch)[offset:]
        for _ in range(count):
            if len(order) < self.batch_size:
                epoch += 1
                order = np.concatenate([order, self._permutation(epoch)])
            yield order[: self.batch_size]
            order = order[self.batch_size :]

    def _permutation(self, epoch: int) -> Indices:
        rng = np.random.default_rng([self._seed, epoch])
        return rng.permutation(self._examples).astype(np.int64, copy=False)
