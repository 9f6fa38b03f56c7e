"""Cancel a coroutine at each of its suspensions, one run for each, and see what is left behind.

Which suspension is the k-th one depends on how fast a server answers, so places are told by the stack that waits, and a
sweep goes on until a whole round has brought no place that was not there before.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

Site = tuple[tuple[str, int], ...]
"""The coroutines that wait for each other, the outermost first: name and line."""

Make = Callable[[], Coroutine[Any, Any, Any]]
After = Callable[[BaseException | None], Awaitable[object]]


class CancelAt:
    """An awaitable that is its coroutine, and calls `cancel` at the `number`-th suspension, and at the `times` - 1 that
    follow: whoever answers a cancellation with another wait is cancelled there too.

    Attributes:
        site: where the first cancellation hit; None while the coroutine has not come so far.
        error: the cancellation, as it left the coroutine.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        number: int,
        times: int = 1,
        cancel: Callable[[], object] | None = None,
    ) -> None:
        self.site: Site | None = None
        self.error: BaseException | None = None
        self._coroutine = coroutine
        self._number = number
        self._left = times
        self._cancel = cancel or _cancel_this

    def __await__(self) -> Generator[Any, Any, Any]:
        suspensions, sent, thrown = 0, None, None
        while True:
            try:
                waited_for = self._coroutine.throw(thrown) if thrown is not None else self._coroutine.send(sent)
            except StopIteration as stop:
                return stop.value
            except asyncio.CancelledError as error:
                self.error = error
                raise
            suspensions += 1
            if suspensions >= self._number and self._left:
                self._left -= 1
                self.site = self.site or _site(self._coroutine)
                self._cancel()
            sent, thrown = None, None
            try:
                sent = yield waited_for
            except BaseException as error:  # handed on
                thrown = error


def _cancel_this() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def _site(coroutine: Any) -> Site:
    found: list[tuple[str, int]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        found.append((name, frame.f_lineno if frame is not None else 0))
        if name == "greenlet_spawn" and frame is not None:
            found += _inside(frame.f_locals["context"])
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return tuple(found)


def _inside(greenlet: Any) -> list[tuple[str, int]]:
    """Return the sync stack that waits in a greenlet, the outermost first."""
    frame, found = greenlet.gr_frame, []
    while frame is not None:
        found.append((frame.f_code.co_qualname, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


# the ways a task is cancelled: each runs a coroutine, and is over when it is


async def by_task(make: Make, number: int, times: int) -> CancelAt:
    """Cancel the task."""
    attempt = CancelAt(make(), number, times)

    async def run() -> None:
        await attempt

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise AssertionError(f"cancelled at {attempt.site}, it raised") from failure
    return attempt


async def by_timeout(make: Make, number: int, times: int) -> CancelAt:
    """Let the time of a block around it be over."""
    try:
        async with asyncio.timeout(None) as scope:
            attempt = CancelAt(make(), number, 1, lambda: scope.reschedule(0))
            await attempt
    except TimeoutError:
        pass
    await asyncio.sleep(0)  # where a cancellation that the block has left behind would be raised
    return attempt


class _Failed(Exception):
    """The other branch of a group has failed."""


async def by_group(make: Make, number: int, times: int) -> CancelAt:
    """Let another branch of its group fail."""
    ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def branch() -> None:
        await attempt
        ending.set_result(None)

    try:
        async with asyncio.TaskGroup() as group:
            attempt = CancelAt(make(), number, 1, lambda: ending.set_exception(_Failed()))
            group.create_task(_awaited(ending))
            group.create_task(branch())
    except* _Failed:
        pass
    return attempt


async def _awaited(future: asyncio.Future[None]) -> None:
    await future


Way = Callable[[Make, int, int], Awaitable[CancelAt]]


@dataclass
class Report:
    """What a sweep found.

    Attributes:
        sites: the places, and how the runs ended that were cancelled there: `after()` of each.
        complaints: what the event loop had to say: futures whose exception nobody took, tasks that were destroyed.
        swallowed: places whose cancellation did not reach whoever awaited.
    """

    sites: dict[Site, set[object]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    swallowed: list[Site] = field(default_factory=list)


async def sweep(
    make: Make,
    after: After,
    *,
    way: Way = by_task,
    rounds: Sequence[int] = (1, 3),
    before: Callable[[], Awaitable[object]] | None = None,
) -> Report:
    """Cancel `make()` everywhere, and call `after()`, which checks what is left behind, when each run is over.

    Args:
        make: a new coroutine for each run.
        after: takes the cancellation that came out and raises where something is wrong; what it returns is noted by
            the place.
        way: how it is cancelled.
        rounds: how often in a row it is cancelled, in one round after the other.
        before: prepares each run.
    """
    report = Report()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: report.complaints.append(str(context)))
    known = -1
    for turn in itertools.count():
        if turn >= len(rounds) and known == len(report.sites):
            break
        known, number = len(report.sites), 1
        while await _cancelled(make, after, report, way, number, rounds[turn % len(rounds)], before):
            number += 1
        gc.collect()  # only then a future or a task that was left complains
        await asyncio.sleep(0)
    loop.set_exception_handler(None)
    return report


async def _cancelled(
    make: Make,
    after: After,
    report: Report,
    way: Way,
    number: int,
    times: int,
    before: Callable[[], Awaitable[object]] | None,
) -> bool:
    """Run once, and return whether the coroutine came as far as the `number`-th suspension."""
    if before is not None:
        await before()
    attempt = await way(make, number, times)
    ended = await after(attempt.error)
    if attempt.site is None:
        return False
    report.sites.setdefault(attempt.site, set()).add(ended)
    if attempt.error is None:
        report.swallowed.append(attempt.site)
    return True
