"""An asyncio event loop in virtual time, and processes in it that end at once when they are killed.

Time stands still while callbacks run and jumps to the next timer when none is left. What is due at
the same moment runs in the order in which it was scheduled, so a run is a function of its program.

A process is all that one node's life has scheduled: it is known by a context variable, which
asyncio hands on from callback to callback and from task to task. So killing a node needs no
cooperation of its code: nothing in its name runs ever again. Its timers run by its own clock.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from types import CoroutineType
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TASKS_BEFORE_SWEEP = 16
_TIMERS_BEFORE_SWEEP = 1024


class DeadlockError(RuntimeError):
    """Somebody waits, and nothing that is scheduled can ever end it."""


class ProcessEnded(BaseException):
    """Unwinds what runs in a process that ends itself. Not an Exception: nobody may catch it."""


class Process:
    """What is scheduled in one name, by one clock.

    `rate` is how many of its seconds pass in a true one; `origin` is what its monotonic clock
    shows when it is made.
    """

    def __init__(
        self, loop: "VirtualLoop", name: str, *, rate: float = 1.0, origin: float = 0.0
    ) -> None:
        self.name = name
        self.alive = True
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)
        self._loop = loop
        self._rate = rate
        self._born = loop.now
        self._origin = origin
        self._tasks: list[asyncio.Task[Any]] = []
        self._sweep_at = _TASKS_BEFORE_SWEEP
        self._held: list[_Handle] | None = None

    def __repr__(self) -> str:
        return f"<process {self.name}>"

    # --- time ------------------------------------------------------------------------------------

    def after(self, delay: float) -> float:
        """The true moment when `delay` seconds have passed on its clock."""
        return self.moment(self.time() + delay)

    def time(self) -> float:
        """Seconds on its own monotonic clock."""
        return self._origin + (self._loop.now - self._born) * self._rate

    def moment(self, time: float) -> float:
        """The first true moment at which its clock shows `time`."""
        moment = self._born + (time - self._origin) / self._rate
        while self._origin + (moment - self._born) * self._rate < time:
            moment += math.ulp(max(abs(time), moment))  # divided and multiplied, it fell short
        return moment

    # --- work ------------------------------------------------------------------------------------

    def post(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        """Call something in this process, soon."""
        return self._loop.call_soon(callback, *args, context=self.context)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a task in this process."""
        return self._loop.create_task(work, context=self.context.copy())

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) >= self._sweep_at:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._sweep_at = max(2 * len(self._tasks), _TASKS_BEFORE_SWEEP)

    # --- standing still --------------------------------------------------------------------------

    @property
    def frozen(self) -> bool:
        return self._held is not None

    def freeze(self) -> None:
        """As by SIGSTOP: what is due waits until `thaw`; the clocks go on."""
        if self._held is None:
            self._held = []

    def thaw(self) -> None:
        """As by SIGCONT: what has become due runs now, in its order."""
        held, self._held = self._held or (), None
        self._loop.run_soon(held)

    def runs(self, handle: "_Handle") -> bool:
        """Whether a handle that is due may run now; as long as nothing does, it is kept."""
        if self._held is None:
            return self.alive
        self._held.append(handle)
        return False

    # --- the end ---------------------------------------------------------------------------------

    def end(self) -> None:
        """As by SIGKILL: nothing of it runs any more but the `finally` of its tasks, now."""
        if not self.alive:
            return
        self.alive = False
        self._held = None
        for task in self._tasks:
            work = task.get_coro()
            if not task.done() and isinstance(work, CoroutineType):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(work)
        self._tasks.clear()

    def exit(self) -> NoReturn:
        """End from inside: what runs now unwinds, and nobody hears of it."""
        self.end()
        raise ProcessEnded(self.name)


def _close(work: "CoroutineType[Any, Any, Any]") -> None:
    """End a coroutine, unless it runs just now: then ProcessEnded is about to unwind it."""
    if work.cr_running:
        return
    if getcoroutinestate(work) == CORO_CREATED:
        # It will never await what it was handed to await.
        for value in getcoroutinelocals(work).values():
            if isinstance(value, CoroutineType):
                _close(value)
    work.close()


_PROCESS: ContextVar[Process] = ContextVar("process")


def _nothing() -> None:
    """What a cancelled callback does."""


class _Handle(asyncio.TimerHandle):
    """A callback, and in whose name it runs. Of its base it only has the type."""

    __slots__ = ("args", "callback", "context", "done", "moment", "process")

    def __init__(
        self,
        moment: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self.moment = moment
        self.callback = callback
        self.args = args
        self.context = context
        self.process: Process | None = context.get(_PROCESS)
        self.done = False

    def is_due(self) -> bool:
        return not self.done and (self.process is None or self.process.alive)

    def when(self) -> float:
        return self.moment

    def cancel(self) -> None:
        self.done = True
        self.callback, self.args = _nothing, ()  # it may stay in the heap for long

    def cancelled(self) -> bool:
        return self.done

    def __repr__(self) -> str:
        return f"<{self.callback!r} of {self.process!r} at {self.moment}>"


class VirtualLoop(asyncio.BaseEventLoop):
    """Everything of asyncio but input, output and threads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        """True seconds since the loop was made; `time()` is a process's own view of it."""
        self.errors: list[BaseException] = []
        """What ended tasks that nobody waits for. What a callback raises ends the run itself."""
        self._soon: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbered = 0
        self._sweep_at = _TIMERS_BEFORE_SWEEP
        self._until: float | None = None
        self._ending = False

    # --- running ---------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Run everything that is due within `seconds`; 0 runs what is due now."""
        if seconds < 0:
            raise ValueError(f"time does not run back: {seconds} s")
        self._until = self.now + seconds
        try:
            self.run_forever()
        finally:
            self._until = None

    def next_due(self) -> float | None:
        """When something is going to happen next; None when never."""
        if any(handle.is_due() for handle in self._soon):
            return self.now
        self._drop_cancelled()
        return self._timers[0][0] if self._timers else None

    def stop(self) -> None:
        self._ending = True
        super().stop()

    def _run_once(self) -> None:
        """One turn; `run_forever` of the base class calls it until the loop is stopped."""
        if not self._soon:
            if self._ending:
                return
            self._jump()
        for _ in range(len(self._soon)):
            handle = self._soon.popleft()
            process = handle.process
            if handle.done or (process is not None and not process.runs(handle)):
                continue
            handle.done = True
            try:
                handle.context.run(handle.callback, *handle.args)
            except ProcessEnded:
                continue

    def run_forever(self) -> None:
        self._ending = False
        super().run_forever()

    def _jump(self) -> None:
        """Let time pass until something is due."""
        self._drop_cancelled()
        timers, until = self._timers, self._until
        if not timers or (until is not None and timers[0][0] > until):
            if until is None:
                raise DeadlockError("nothing is scheduled, and what is waited for is not done")
            self.now = until
            self.stop()
            return
        self.now = timers[0][0]
        while timers and timers[0][0] == self.now:
            self._soon.append(heapq.heappop(timers)[2])

    # --- scheduling ------------------------------------------------------------------------------

    def time(self) -> float:
        """The clock of the process in whose name this is asked; outside of any the true one."""
        process = _PROCESS.get(None)
        return self.now if process is None else process.time()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        # Not `context or …`: one without variables is false.
        handle = _Handle(self.now, callback, args, copy_context() if context is None else context)
        self._soon.append(handle)
        return handle

    def run_soon(self, handles: Iterable[_Handle]) -> None:
        """Run what was scheduled before and has not run."""
        self._soon.extend(handles)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        process = context.get(_PROCESS)
        moment = self.now + delay if process is None else process.after(delay)
        return self.call_when(moment, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        process = context.get(_PROCESS)
        moment = when if process is None else process.moment(when)
        return self.call_when(moment, callback, *args, context=context)

    def call_when(
        self,
        moment: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As `call_at`, by the true time."""
        moment = max(moment, self.now)
        handle = _Handle(moment, callback, args, copy_context() if context is None else context)
        self._numbered += 1
        heapq.heappush(self._timers, (moment, self._numbered, handle))
        if len(self._timers) > self._sweep_at:
            # Most timers are time-outs of something that came in time: do not hoard them.
            self._timers = [timer for timer in self._timers if timer[2].is_due()]
            heapq.heapify(self._timers)
            self._sweep_at = max(2 * len(self._timers), _TIMERS_BEFORE_SWEEP)
        return handle

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        context = copy_context() if context is None else context
        task: asyncio.Task[T] = asyncio.Task(
            coro, loop=self, name=None if name is None else str(name), context=context
        )
        process = context.get(_PROCESS)
        if process is not None:
            process.adopt(task)
        return task

    def _drop_cancelled(self) -> None:
        while self._timers and not self._timers[0][2].is_due():
            heapq.heappop(self._timers)

    # --- what does not happen here ---------------------------------------------------------------

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessEnded):
            self.errors.append(error or RuntimeError(context["message"]))

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> NoReturn:
        raise RuntimeError("a simulation has no other threads")

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> NoReturn:
        raise RuntimeError("a simulation starts no threads")
