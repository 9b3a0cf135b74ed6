"""`Simulation`: a seeded swarm to experiment with.

    sim = Simulation(seed=7)
    for i in range(5):
        sim.add(f"n{i}", learner_of(i), options)
    sim.introduce(*sim.nodes)
    sim.start(*sim.nodes)
    sim.run(30.0)
    sim.kill("n0")
    sim.run_until(lambda: ..., seconds=60.0)
    print(sim.accuracies(), sim.log.hash)

Operations take effect in virtual time where it stands; only `run` and `run_until` let it pass. The
same program with the same seed makes the same log, byte for byte: in another process, under another
PYTHONHASHSEED, on the same machine with the same versions of the libraries and one thread.
"""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from gossipd.runtime.assembly import Options
from gossipd.runtime.opened import Opened
from gossipd.runtime.ports import Evaluation, Learner
from gossipd.simulation.connection import Link
from gossipd.simulation.log import MESSAGE, EventLog
from gossipd.simulation.loop import VirtualLoop
from gossipd.simulation.network import SimNetwork, apart
from gossipd.simulation.node import Machine, SimNode, Stick, Surroundings
from gossipd.simulation.store import Shelf
from gossipd.wire import limits

BUNDLE_SECONDS = 600.0
"""Virtual seconds that writing or reading a bundle may take, as the control client has it."""
OPENED_BYTES = 32 * 1024 * 1024
"""Of documents that are checked once for all nodes: the records and claims of ten thousand, twice
over, and the manifests of the last rounds."""


class SimulationError(AssertionError):
    """A run that is broken, or did not come to what was waited for. Names the seed."""


class Simulation:
    """A swarm, its network and its log. Close it, or use it as a context manager."""

    def __init__(self, seed: int, *, link: Link | None = None, keep_messages: bool = False) -> None:
        """`link` lies between all nodes; `keep_messages` keeps what was sent in `log.entries`."""
        self.seed = seed
        self.loop = VirtualLoop()
        self.log = EventLog(() if keep_messages else (MESSAGE,))
        self.nodes: dict[str, SimNode] = {}
        self.network = SimNetwork(self.loop, seed, link, self._sent)
        self._names: dict[str, str] = {}
        self._faults: list[str] = []
        self._around = Surroundings(
            seed,
            self.loop,
            self.network,
            Shelf(),
            self._note,
            self._faults,
            Opened(OPENED_BYTES, limits.ENVELOPE_BYTES),
        )

    def __repr__(self) -> str:
        return f"Simulation(seed={self.seed})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes.values():
            if node.running:
                node.kill()
        self.loop.close()

    # --- nodes -----------------------------------------------------------------------------------

    def add(
        self, name: str, learner: Learner, options: Options, machine: Machine | None = None
    ) -> SimNode:
        """A node that is not started yet. Its key depends on the seed and its name alone."""
        if name in self.nodes:
            raise ValueError(f"there is a node {name!r} already")
        number = len(self.nodes) + 1
        node = SimNode(self._around, name, number, learner, options, machine or Machine())
        self.nodes[name] = node
        self._names[node.peer_id] = name
        return node

    def introduce(self, *names: str) -> None:
        """Everybody of these hears where everybody else of them is."""
        for name in names:
            self.tell(name, *names)

    def tell(self, name: str, *others: str) -> None:
        """One node hears where others are: now if it runs, and whenever it starts."""
        for other in others:
            if other != name:
                self.nodes[name].meets(self.nodes[other])

    def start(self, *names: str) -> None:
        """Begin lives on what the disks hold."""
        for name in names:
            self._operate(name, "start")
            self.nodes[name].start()
        self.run(0.0)

    def stop(self, *names: str) -> None:
        """Orderly stops begin; a node has stopped when it is not `running` any more."""
        for name in names:
            self._operate(name, "stop")
            self.nodes[name].stop()

    def kill(self, *names: str, silently: bool = False) -> None:
        """As by SIGKILL; `silently` as by a power failure: no connection is closed."""
        for name in names:
            self._operate(name, "kill", silently=silently)
            self.nodes[name].kill(silently=silently)

    def restart(self, *names: str) -> None:
        """Kill those that run and start all of them on what their disks have."""
        running = [name for name in names if self.nodes[name].running]
        self.kill(*running)
        self.start(*names)

    def wipe(self, *names: str) -> None:
        """Empty the disks of nodes that do not run."""
        for name in names:
            self._operate(name, "wipe")
            self.nodes[name].wipe()

    def pause(self, *names: str) -> None:
        for name in names:
            self._operate(name, "pause")
            self.nodes[name].pause()

    def resume(self, *names: str) -> None:
        for name in names:
            self._operate(name, "resume")
            self.nodes[name].resume()

    def export(self, name: str, *, everything: bool = False) -> Stick:
        """A bundle of what a node knows."""
        self._operate(name, "export")
        writing = self.nodes[name].export(everything=everything)
        self.run_until(writing.done, BUNDLE_SECONDS)
        return writing.result()

    def take(self, name: str, stick: Stick) -> dict[str, Any]:
        """Somebody brings a bundle; what the node answers."""
        self._operate(name, "import")
        reading = self.nodes[name].take(stick)
        self.run_until(reading.done, BUNDLE_SECONDS)
        return reading.result()

    @property
    def running(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.running]

    # --- network ---------------------------------------------------------------------------------

    def partition(self, deaf: Mapping[str, Iterable[str]], *, reset: bool = False) -> None:
        """Node -> whom it does not hear any more. Silent, unless connections are `reset`."""
        self._operate("", "partition", reset=reset, deaf={n: list(o) for n, o in deaf.items()})
        self.network.partition(
            {
                self.nodes[node].peer_id: [self.nodes[other].peer_id for other in others]
                for node, others in deaf.items()
            },
            reset=reset,
        )

    def split(self, *groups: Iterable[str], reset: bool = False) -> None:
        """Nobody hears anybody of another group any more."""
        self.partition(apart(*groups), reset=reset)

    def heal(self) -> None:
        """Everybody hears everybody again."""
        self._operate("", "heal")
        self.network.heal()

    def set_link(self, a: str, b: str, link: Link, *, both_ways: bool = True) -> None:
        """What lies between two nodes from now on."""
        self._operate("", "link", a=a, b=b, both_ways=both_ways, link=repr(link))
        self.network.set_link(
            self.nodes[a].peer_id, self.nodes[b].peer_id, link, both_ways=both_ways
        )

    def set_default_link(self, link: Link) -> None:
        """What lies between all whose link was never set."""
        self._operate("", "link", link=repr(link))
        self.network.set_default_link(link)

    # --- time ------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.loop.now

    def run(self, seconds: float) -> None:
        """Let time pass. An exception in anybody's code that nobody handles ends the run."""
        try:
            self.loop.advance(seconds)
            for error in self.loop.errors:
                raise error
        except Exception as error:
            error.add_note(f"at {self.now:.3f} s of {self}")
            raise
        if self._faults:
            raise SimulationError(f"at {self.now:.3f} s of {self}: {self._faults[0]}")

    def run_until(
        self, condition: Callable[[], object], seconds: float, *, every: float = 0.1
    ) -> float:
        """Let time pass until `condition`, looked at `every` so often; how long it took.

        Raises SimulationError after `seconds`, and when nothing is going to happen any more.
        """
        began = self.now
        while not condition():
            if self.loop.next_due() is None:
                raise SimulationError(f"nothing will happen after {self.now:.3f} s ({self})")
            if self.now - began >= seconds:
                raise SimulationError(f"not so within {seconds} s, at {self.now:.3f} s ({self})")
            self.run(every)
        return self.now - began

    def at(self, time: float, action: Callable[[], object]) -> None:
        """Do something when `now` is `time`."""
        self.loop.call_when(time, action)

    # --- looking ---------------------------------------------------------------------------------

    @property
    def faults(self) -> list[str]:
        """What went wrong unexpectedly in anybody's runtime, with its traceback."""
        return self._faults

    def evaluate(self, *names: str) -> dict[str, Evaluation]:
        """The serving models of these nodes, or of all that run, on the task's test set. Takes no
        virtual time and changes nothing."""
        chosen = [self.nodes[name] for name in names] or self.running
        found = {}
        for node in chosen:
            models = node.live.models
            found[node.name] = node.learner.test(models.get(models.pointers.serving))
        return found

    def accuracies(self, *names: str) -> dict[str, float]:
        """As `evaluate`: the accuracies alone; NaN for a task that has none."""
        nan = float("nan")
        return {
            name: nan if result.accuracy is None else result.accuracy
            for name, result in self.evaluate(*names).items()
        }

    # --- log -------------------------------------------------------------------------------------

    def _note(self, node: str, kind: str, fields: dict[str, Any]) -> None:
        self.log.add(self.now, node, kind, fields)

    def _operate(self, node: str, what: str, **fields: Any) -> None:
        self.log.add(self.now, node, what, fields)

    def _sent(self, kind: str, sender: str, receiver: str, size: int) -> None:
        names = self._names
        fields = {"to": names.get(receiver, receiver), "what": kind, "size": size}
        self.log.add(self.loop.now, names.get(sender, sender), MESSAGE, fields)
