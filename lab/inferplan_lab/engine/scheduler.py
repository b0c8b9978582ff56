"""Continuous batching as in vLLM's V1 scheduler, as a pure discrete-event object: no clock, no sockets.

A step first gives every running request its next token, or the next piece of its prompt. Then requests are
admitted from the front of the queue while request slots, step tokens and blocks last. When a running request
finds no block, the last one of the running list is preempted: its blocks go, its computed tokens are reset,
and it waits in front.
"""

from collections import deque
from collections.abc import Callable

from inferplan_lab.engine.events import BatchShape, Emission, Request, StepResult
from inferplan_lab.engine.limits import Batching
from inferplan_lab.engine.prefix_cache import BlockPool, chain


class Scheduler:
    """The queue, the running list and the blocks of one engine."""

    def __init__(
        self,
        batching: Batching,
        pool: BlockPool,
        block_tokens: int,
        step_seconds: Callable[[BatchShape], float],
    ) -> None:
        self._limits = batching
        self._block_tokens = block_tokens
        self._step_seconds = step_seconds
        self._scheduled: dict[Request, int] = {}
        self._queries = 0
        self._hits = 0
        self._preempted = 0
        self.pool = pool
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    @property
    def busy(self) -> bool:
        """There is something to do."""
        return bool(self.waiting or self.running)

    def fits(self, request: Request) -> bool:
        """Whether the request could ever be finished, alone on the engine.

        Args:
            request: not yet added.

        Returns:
            False when its tokens need more blocks than there are, or, without chunked prefill, more step
            tokens.
        """
        needed = request.prompt_tokens + request.output_tokens - 1
        whole = self._limits.chunked_prefill or needed <= self._limits.max_num_batched_tokens
        return whole and self._blocks_for(needed) <= self.pool.usable_blocks

    def add(self, request: Request) -> None:
        """Put a request at the end of the queue.

        Args:
            request: new.

        Raises:
            ValueError: it has no token to read or to write, or could never be finished.
        """
        if request.prompt_tokens < 1 or request.output_tokens < 1 or not self.fits(request):
            raise ValueError(
                f"request {request.request_id}: {request.prompt_tokens} prompt and {request.output_tokens} "
                f"output tokens do not fit {self.pool.usable_blocks} blocks of {self._block_tokens} tokens",
            )
        self.waiting.append(request)

    def abort(self, request: Request) -> bool:
        """Forget a request.

        Args:
            request: waiting, running, or already gone.

        Returns:
            True when it was still in the engine.
        """
        if request in self.running:
            self.running.remove(request)
            self._free(request)
            return True
        if request in self.waiting:
            self.waiting.remove(request)
            return True
        return False

    def step(self, now: float) -> StepResult:
        """Do one step.

        Args:
            now: when it starts, in seconds.

        Returns:
            What it did. With nothing to do it takes no time.
        """
        self._scheduled, self._queries, self._hits, self._preempted = {}, 0, 0, 0
        budget = self._schedule_running(self._limits.max_num_batched_tokens)
        if not self._preempted:
            self._admit(budget, now)
        shape = self._shape()
        ended = now + (self._step_seconds(shape) if self._scheduled else 0.0)
        emitted = self._complete(ended)
        finished = tuple(emission.request for emission in emitted if emission.request.finished)
        for request in finished:
            self._free(request)
        if finished:
            self.running = [request for request in self.running if not request.finished]
        return StepResult(ended, shape, emitted, finished, self._preempted, self._queries, self._hits)

    def _blocks_for(self, tokens: int) -> int:
        """Blocks that so many tokens fill or begin."""
        return -(-tokens // self._block_tokens)

    def _free(self, request: Request) -> None:
        """Give a request's blocks back."""
        self.pool.release(request.blocks)
        request.blocks = []

    def _piece(self, request: Request, budget: int) -> int:
        """Tokens that a request may compute in this step."""
        limit = self._limits.long_prefill_tokens or budget
        return min(request.known_tokens - request.computed_tokens, limit, budget)

    def _schedule_running(self, budget: int) -> int:
        """Give the running requests their tokens; returns the tokens that are left."""
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            tokens = self._piece(request, budget)
            if not self._make_room(request, request.computed_tokens + tokens):
                break
            self._scheduled[request] = tokens
            budget -= tokens
            index += 1
        return budget

    def _make_room(self, request: Request, tokens: int) -> bool:
        """Hold blocks for so many tokens, preempting from the end; False when the request itself goes."""
        missing = self._blocks_for(tokens) - len(request.blocks)
        while missing > 0:
            taken = self.pool.take(missing)
            if taken is not None:
                request.blocks.extend(taken)
                break
            victim = self.running.pop()
            self._preempt(victim)
            if victim is request:
                return False
        return True

    def _preempt(self, victim: Request) -> None:
        """Reset a request and put it in front of the queue."""
        self._free(victim)
        victim.computed_tokens = 0
        victim.preemptions += 1
        self._preempted += 1
        self.waiting.appendleft(victim)

    def _admit(self, budget: int, now: float) -> None:
        """Take requests from the front of the queue while everything lasts."""
        while self.waiting and budget > 0 and len(self.running) < self._limits.max_num_seqs:
            tokens = self._try_admit(self.waiting[0], budget, now)
            if not tokens:
                return
            budget -= tokens

    def _try_admit(self, request: Request, budget: int, now: float) -> int:
        """Start the request in front; returns its tokens in this step, 0 when it has to wait on."""
        # At least one token is always computed: the last one gives the logits.
        cached = self.pool.match(request.keys[: (request.known_tokens - 1) // self._block_tokens])
        hit = len(cached) * self._block_tokens
        left = request.known_tokens - hit
        tokens = min(left, budget, self._limits.long_prefill_tokens or budget)
        if tokens < left and not self._limits.chunked_prefill:
            return 0
        end = request.known_tokens if self._limits.reserve_full_prompt else hit + tokens
        if not self._room_for(self._blocks_for(end) - len(cached) + self.pool.free_among(cached)):
            return 0
        self.waiting.popleft()
        self.pool.hold(cached)
        request.blocks = [*cached, *(self.pool.take(self._blocks_for(hit + tokens) - len(cached)) or ())]
        request.computed_tokens = hit
        self.running.append(request)
        self._scheduled[request] = tokens
        self._note_admission(request, hit, now)
        return tokens

    def _room_for(self, blocks: int) -> bool:
        """Whether so many free blocks can go to a new request. An idle engine needs no reserve."""
        reserve = int(self._limits.watermark * self.pool.usable_blocks) if self.running else 0
        return blocks <= self.pool.free_blocks - reserve

    def _note_admission(self, request: Request, hit: int, now: float) -> None:
        """Keep what the metrics tell of a request's first admission."""
        if request.admitted_seconds is None:
            request.admitted_seconds = max(now, request.arrival_seconds)
            request.cached_tokens = hit
            self._queries += request.known_tokens
            self._hits += hit

    def _shape(self) -> BatchShape:
        """The batch that the step computes."""
        decode = sum(1 for request in self._scheduled if request.computed_tokens == request.known_tokens - 1)
        context = sum(request.computed_tokens + tokens for request, tokens in self._scheduled.items())
        return BatchShape(sum(self._scheduled.values()) - decode, decode, context)

    def _complete(self, ended: float) -> tuple[Emission, ...]:
        """Count the computed tokens and give out those that are ready."""
        emitted: list[Emission] = []
        for request, tokens in self._scheduled.items():
            before = request.computed_tokens // self._block_tokens
            request.computed_tokens += tokens
            self._remember(request, before)
            if request.computed_tokens < request.known_tokens:
                continue
            gap = None if request.last_token_seconds is None else ended - request.last_token_seconds
            if request.first_token_seconds is None:
                request.first_token_seconds = ended
            request.last_token_seconds = ended
            request.generated_tokens += 1
            emitted.append(Emission(request, gap))
        return tuple(emitted)

    def _remember(self, request: Request, first: int) -> None:
        """Make the blocks that became full findable; generated text only by the request itself."""
        for index in range(first, request.computed_tokens // self._block_tokens):
            if index == len(request.keys):
                previous = request.keys[-1] if request.keys else 0
                request.keys.append(chain(previous, (request.request_id, index)))
            self.pool.remember(request.blocks[index], request.keys[index])
