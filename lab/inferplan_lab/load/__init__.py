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
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

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
        input_tokens: of each prompt.
        output_tokens: of each answer.
        shared_prefix: the share of the prompt that all requests have in common.
        model: the name to ask for, or None for the server's own.
        seed: of prompts and arrival times.
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


@dataclass(slots=True)
class Summary:
    """What came back. Times in seconds.

    Attributes:
        ok: answers with all their tokens.
        failed: refused, broken off, or not sent.
        unfinished: still open at the end.
        output_tokens: of the answers.
        seconds: from start to end.
        first_token: of each answer, from sending to its first token.
        token_gap: of each answer, the mean time between its tokens.
        latency: of each answer, from sending to its end.
    """

    ok: int = 0
    failed: int = 0
    unfinished: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    first_token: list[float] = field(default_factory=list)
    token_gap: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)

    def lines(self) -> tuple[str, ...]:
        """The summary for a person.

        Returns:
            One text a line.
        """
        rate = self.output_tokens / self.seconds if self.seconds else 0.0
        head = f"ok {self.ok}  failed {self.failed}  unfinished {self.unfinished}  in {self.seconds:.1f} s"
        rows = (("TTFT", self.first_token), ("ITL", self.token_gap), ("latency", self.latency))
        return (head, f"output {rate:.1f} tokens/s", *(_row(name, values) for name, values in rows))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all values does not exceed (nearest rank).

    Args:
        values: in any order.
        share: within [0, 1].

    Returns:
        One of the values, or not-a-number when there are none.
    """
    if not values:
        return float("nan")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


def _row(name: str, values: Sequence[float]) -> str:
    """One line of percentiles in milliseconds."""
    cells = (f"p{share:.0%}".rstrip("%") + f" {1000 * percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99))
    return f"{name:8}" + "  ".join(cells) + " ms"


def prompts(plan: Plan) -> Iterator[list[int]]:
    """The prompts of a plan, without end: the same for the same seed.

    Args:
        plan: its lengths, share and seed count.

    Yields:
        Token numbers.
    """
    source = random.Random(plan.seed)  # noqa: S311 - a repeatable load, no secret
    shared = int(plan.input_tokens * plan.shared_prefix)
    prefix = [source.randrange(VOCABULARY) for _ in range(shared)]
    while True:
        yield prefix + [source.randrange(VOCABULARY) for _ in range(plan.input_tokens - shared)]


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
        self._prompts = prompts(plan)
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
                group.create_task(self._arrivals(plan.rate_per_second, group))
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

    async def _arrivals(self, rate: float, group: asyncio.TaskGroup) -> None:
        """The arrivals of an open loop."""
        source = random.Random(self._plan.seed + 1)  # noqa: S311 - a repeatable load, no secret
        due = self._clock()
        while self._next():
            due += source.expovariate(rate)
            await asyncio.sleep(max(0.0, due - self._clock()))
            if self.summary.unfinished < MOST_IN_FLIGHT:
                group.create_task(self._request())
            else:
                self.summary.failed += 1

    async def _request(self) -> bool:
        """Send one request and take its answer; False when it failed."""
        body: dict[str, Any] = {
            "prompt": next(self._prompts),
            "max_tokens": self._plan.output_tokens,
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
        self.summary.ok += ok
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
        ended = self._clock()
        if not tokens:
            return False
        self.summary.output_tokens += tokens
        self.summary.first_token.append(first - sent)
        self.summary.latency.append(ended - sent)
        if tokens > 1:
            self.summary.token_gap.append((ended - first) / (tokens - 1))
        return True


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
        work = asyncio.create_task(run.drive())
        halt = asyncio.create_task((stop or asyncio.Event()).wait())
        await asyncio.wait({work, halt}, timeout=plan.duration_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, halt):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    run.summary.seconds = clock() - started
    return run.summary
