"""A bounded load generator for OpenAI-like completion servers.

``python -m inferplan_lab.load URL[,URL…] (--concurrency N | --rate R) [--duration S] [--requests N]``

Closed loop: N clients, each sends its next request when it has the last answer. Open loop: requests come at
random (Poisson) with R a second on average, whatever the server does. It ends by itself: after the duration,
after the requests, or at SIGTERM, and then prints a summary. A server that goes away and comes back is waited
for.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from inferplan_lab.load.summary import Answer, Summary

DEFAULT_DURATION_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 2.0
MOST_IN_FLIGHT = 2000
"""Of an open loop; what comes on top is counted as failed and not sent."""
VOCABULARY = 1000
"""Random prompt tokens are below this: every model's vocabulary is larger, and a real engine refuses higher ones."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, where, and when to stop.

    Attributes:
        targets: base URLs, used in turn.
        concurrency: clients of a closed loop, or None.
        rate_per_second: requests of an open loop, or None.
        duration_seconds: the end at the latest.
        requests: the end after so many, or None.
        input_tokens: of each prompt, on average.
        output_tokens: of each answer, on average.
        shared_prefix: the share of the prompt that all requests have in common.
        model: the name to ask for, or None for the server's own.
        seed: of prompts, lengths and arrival times.
        spread: lengths are uniform up to this share below and above their mean; 0 makes all alike.
    """

    targets: tuple[str, ...]
    concurrency: int | None = None
    rate_per_second: float | None = None
    duration_seconds: float = DEFAULT_DURATION_SECONDS
    requests: int | None = None
    input_tokens: int = 512
    output_tokens: int = 128
    shared_prefix: float = 0.5
    model: str | None = None
    seed: int = 0
    spread: float = 0.0


def requests(plan: Plan) -> Iterator[tuple[list[int], int]]:
    """The requests of a plan, without end: the same for the same seed.

    Args:
        plan: its lengths, share and seed count.

    Yields:
        The prompt's token numbers, and the tokens to ask for.
    """
    source = random.Random(plan.seed)  # noqa: S311 - a repeatable load, no secret
    longest = round(plan.input_tokens * (1 + plan.spread))
    prefix = source.choices(range(VOCABULARY), k=longest)
    while True:
        length, output = (_length(source, mean, plan.spread) for mean in (plan.input_tokens, plan.output_tokens))
        shared = int(length * plan.shared_prefix)
        yield prefix[:shared] + source.choices(range(VOCABULARY), k=length - shared), output


def _length(source: random.Random, mean: int, spread: float) -> int:
    """One length in tokens."""
    return source.randint(max(1, round(mean * (1 - spread))), max(1, round(mean * (1 + spread))))


def gaps(plan: Plan) -> Iterator[float]:
    """The times between the requests of an open loop, without end: the same for the same seed.

    Args:
        plan: its rate and seed count.

    Yields:
        Seconds.

    Raises:
        ValueError: it has no rate.
    """
    if plan.rate_per_second is None:
        raise ValueError("a plan without a rate has no gaps between its requests")
    source = random.Random(plan.seed + 1)  # noqa: S311 - a repeatable load, no secret
    while True:
        yield source.expovariate(plan.rate_per_second)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON of a stream's events."""
    async for line in response.content:
        text = line.decode().strip()
        if text.startswith("data: {"):
            yield json.loads(text.removeprefix("data: "))


class _Run:
    """One plan while it runs."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        self._plan = plan
        self._session = session
        self._clock = clock
        self._requests = requests(plan)
        self._targets = itertools.cycle(plan.targets)
        self._left = plan.requests
        self.summary = Summary()

    def _next(self) -> bool:
        """Take one request from the plan; False when all are taken."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0

    async def drive(self) -> None:
        """Send everything that the plan says; the caller limits the time."""
        plan = self._plan
        async with asyncio.TaskGroup() as group:
            if plan.rate_per_second is not None:
                group.create_task(self._arrivals(group))
            for _ in range(plan.concurrency or 0):
                group.create_task(self._client())

    async def _client(self) -> None:
        """One client of a closed loop."""
        backoff = FIRST_BACKOFF_SECONDS
        while self._next():
            if await self._request():
                backoff = FIRST_BACKOFF_SECONDS
                continue
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)

    async def _arrivals(self, group: asyncio.TaskGroup) -> None:
        """The arrivals of an open loop."""
        between = gaps(self._plan)
        due = self._clock()
        while self._next():
            due += next(between)
            await asyncio.sleep(max(0.0, due - self._clock()))
            if self.summary.unfinished < MOST_IN_FLIGHT:
                group.create_task(self._request())
            else:
                self.summary.failed += 1

    async def _request(self) -> bool:
        """Send one request and take its answer; False when it failed."""
        prompt, output = next(self._requests)
        body: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": output,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body |= {"model": self._plan.model} if self._plan.model else {}
        self.summary.unfinished += 1
        try:
            ok = await self._exchange(f"{next(self._targets).rstrip('/')}/v1/completions", body)
        except (aiohttp.ClientError, OSError, ValueError):
            ok = False
        self.summary.unfinished -= 1
        self.summary.failed += not ok
        return ok

    async def _exchange(self, url: str, body: dict[str, Any]) -> bool:
        """One request over the wire; True when all tokens came."""
        sent, first, tokens = self._clock(), 0.0, 0
        async with self._session.post(url, json=body) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP's own number
                return False
            async for event in _events(response):
                first = first or self._clock()
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        if tokens:
            self.summary.answers.append(Answer(sent, first, self._clock(), tokens))
        return bool(tokens)


async def run_load(
    plan: Plan,
    stop: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Summary:
    """Send a plan's load.

    Args:
        plan: what to send.
        stop: set to end early.
        clock: seconds that only grow.

    Returns:
        What came back until the end.
    """
    started = clock()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        run = _Run(plan, session, clock)
        run.summary.started = started
        work = asyncio.create_task(run.drive())
        halt = asyncio.create_task((stop or asyncio.Event()).wait())
        await asyncio.wait({work, halt}, timeout=plan.duration_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, halt):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    run.summary.seconds = clock() - started
    return run.summary
