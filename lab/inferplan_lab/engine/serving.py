"""The running engine: the scheduler in real time, and the requests that wait for its tokens."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inferplan_lab.engine.events import Request, StepResult
from inferplan_lab.engine.metrics import EngineMetrics
from inferplan_lab.engine.prefix_cache import BlockPool, prompt_keys
from inferplan_lab.engine.scheduler import Scheduler
from inferplan_lab.engine.settings import EngineSettings
from inferplan_lab.engine.step_time import StepTimer

TICK_SECONDS = 0.005
"""Steps that end within this time are done together, so that a fast engine does not take a whole core."""
FLUSH_SECONDS = 0.05
"""Tokens of a stream that come closer than this are sent together; the first and the last go at once."""
STATS_SECONDS = 10.0
"""Between two throughput lines in the log, as vLLM has it."""
CHARACTERS_IN_TOKEN = 4
"""A prompt given as text is taken for one token in so many characters."""


@dataclass(slots=True, eq=False)
class Session:
    """One request and the client that waits for it.

    Attributes:
        request: in the engine.
        wake: set when there is something to send.
        ready_tokens: tokens that are out, by the clock: the request itself may be a step ahead.
        flushed_seconds: when it was last woken.
    """

    request: Request
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ready_tokens: int = 0
    flushed_seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """All its tokens are out."""
        return self.ready_tokens >= self.request.output_tokens


def tokens_of(prompt: str | Sequence[int]) -> list[int]:
    """The tokens of a prompt.

    Args:
        prompt: text, of which four characters make a token, or token numbers.

    Returns:
        Numbers that are equal for equal pieces of text, within one process.
    """
    if not isinstance(prompt, str):
        return list(prompt)
    return [hash(prompt[at : at + CHARACTERS_IN_TOKEN]) for at in range(0, len(prompt), CHARACTERS_IN_TOKEN)] or [0]


class Engine:
    """Scheduler, metrics and clients of one engine."""

    def __init__(
        self,
        settings: EngineSettings,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] = print,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._log = log
        self._timer = StepTimer(settings, speed)
        self._sessions: dict[Request, Session] = {}
        self._arrived = asyncio.Event()
        self._numbers = itertools.count(1)
        self._stats = (clock(), 0.0, 0.0)
        pool = BlockPool(settings.kv.blocks, caching=settings.prefix_caching)
        timer, block = self._timer.wall_seconds, settings.kv.block_tokens
        self.scheduler = Scheduler(settings.batching, pool, block, timer)
        self.metrics = EngineMetrics(settings, time.time())

    def submit(self, tokens: Sequence[int], output_tokens: int) -> Session:
        """Put a request in the queue.

        Args:
            tokens: the prompt.
            output_tokens: to generate.

        Returns:
            The session that its tokens come to.

        Raises:
            ValueError: it does not fit the engine.
        """
        total = len(tokens) + output_tokens
        if total > self.settings.max_model_len:
            raise ValueError(
                f"This model's maximum context length is {self.settings.max_model_len} tokens. However, you "
                f"requested {total} tokens ({len(tokens)} in the prompt, {output_tokens} in the completion).",
            )
        keys = prompt_keys(tokens, self.settings.kv.block_tokens) if self.settings.prefix_caching else ()
        name = f"cmpl-{next(self._numbers)}"
        session = Session(Request(name, len(tokens), output_tokens, self._clock(), keys=list(keys)))
        self.scheduler.add(session.request)
        self._sessions[session.request] = session
        self._arrived.set()
        return session

    def drop(self, session: Session) -> None:
        """Abort a request whose client has gone; one that is done is left alone.

        Args:
            session: from :meth:`submit`.
        """
        if self._sessions.pop(session.request, None) and self.scheduler.abort(session.request):
            self.metrics.aborted(session.request, self._clock())

    async def run(self) -> None:
        """Step while there is work, for ever. Cancel the task to stop."""
        ended = 0.0
        while True:
            if not self.scheduler.busy:
                self._arrived.clear()
                await self._arrived.wait()
            now = self._clock()
            # A sleep ends a little late; the next step makes up for it, or else a fast engine would be too
            # slow.
            results = self._tick(ended if now - ended < TICK_SECONDS else now)
            ended = results[-1].ended_seconds
            await asyncio.sleep(max(0.0, ended - self._clock()))
            for result in results:
                self._deliver(result)
            self._log_stats()

    def _tick(self, now: float) -> list[StepResult]:
        """Do steps that fill at least one tick."""
        at, end = now, now + TICK_SECONDS
        results: list[StepResult] = []
        while not results or (at < end and self.scheduler.busy):
            result = self.scheduler.step(at)
            results.append(result)
            at = result.ended_seconds
        return results

    def _deliver(self, result: StepResult) -> None:
        """Count a step that has ended, and wake the clients that have something to get."""
        self.metrics.record(result, self._timer.cost(result.shape))
        for emission in result.emitted:
            session = self._sessions.get(emission.request)
            if session is None:
                continue
            session.ready_tokens += 1
            due = emission.gap_seconds is None or session.finished
            if due or result.ended_seconds - session.flushed_seconds >= FLUSH_SECONDS:
                session.flushed_seconds = result.ended_seconds
                session.wake.set()
        for request in result.finished:
            self._sessions.pop(request, None)

    def _log_stats(self) -> None:
        """Write the periodic throughput line."""
        then, prompt, generation = self._stats
        passed = self._clock() - then
        if passed < STATS_SECONDS:
            return
        counters, scheduler = self.metrics.counters, self.scheduler
        self._stats = (self._clock(), counters["prompt"], counters["generation"])
        hit_rate = counters["hits"] / counters["queries"] if counters["queries"] else 0.0
        self._log(
            f"Engine 000: Avg prompt throughput: {(counters['prompt'] - prompt) / passed:.1f} tokens/s, "
            f"Avg generation throughput: {(counters['generation'] - generation) / passed:.1f} tokens/s, "
            f"Running: {len(scheduler.running)} reqs, Waiting: {len(scheduler.waiting)} reqs, "
            f"GPU KV cache usage: {scheduler.pool.usage:.1%}, Prefix cache hit rate: {hit_rate:.1%}",
        )

    def start_lines(self) -> tuple[str, ...]:
        """What the log tells of memory at start (engine facts, section 3e).

        Returns:
            One text a line.
        """
        kv, longest = self.settings.kv, self.settings.max_model_len
        size = f"GPU KV cache size: {kv.size_tokens:,} tokens"
        concurrency = f"Maximum concurrency for {longest:,} tokens per request: {kv.max_concurrency:.2f}x"
        one_line = self.settings.machine.release >= (0, 28)
        free = f"Available KV cache memory: {self.settings.kv_available_bytes / 2**30:.2f} GiB"
        return (free, f"{size}, {concurrency}") if one_line else (free, size, concurrency)
