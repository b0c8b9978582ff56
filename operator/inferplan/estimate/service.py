"""From steps to service: concurrency, queueing, TTFT, ITL and throughput by Little's law and a fixed point.

A running request decodes `output` steps; while it does, the others' prompts are prefilled, and every prompt delays
every decode. With `d` decoding sequences, d / output prompts come per step, so

    ITL  = step(d) + d / output x prefill
    TTFT = request + wait + prefill + what the others' prompts delay it + queue
    throughput = running / (TTFT + output x ITL)           (Little's law)

and `d` is the share of running requests that decode: a fixed point, reached in a few rounds. Deployments, loads and
limits are arrays of one length, or of length 1: thousands of candidates are served at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inferplan.estimate.load import Load
from inferplan.estimate.speed_constants import MultiplierCases, Multipliers, SpeedConstants
from inferplan.estimate.step_shape import Flags, Floats, StepColumns
from inferplan.estimate.step_time import StepTimer

_ROUNDS = 4
"""Rounds of the fixed point: the share of decoding sequences moves by less than 0.1 % after them."""

_HALVINGS = 10
"""Halvings of the decoding sequences' range in an open loop: a thousandth of it, within which a secant is exact."""

ALMOST_FULL = 0.98
"""From this load on, of what can be served, queueing has no mean that a finite test would see."""

Parts = tuple[Floats, Floats, Floats, Floats, Floats]


@dataclass(frozen=True)
class Limits:
    """What bounds the requests that run at once; one entry per candidate.

    Attributes:
        running: max_num_seqs over all data-parallel ranks; infinite where nothing bounds it.
        batched_tokens: max_num_batched_tokens, or SGLang's chunked_prefill_size.
        cache_tokens: Tokens that the KV cache holds; infinite where it is not known.
    """

    running: Floats
    batched_tokens: Floats
    cache_tokens: Floats


@dataclass(frozen=True)
class Flow:
    """How requests flow through a replica; arrays, one entry per candidate.

    Attributes:
        ttft_seconds: Mean time to the first token.
        itl_seconds: Mean time between tokens.
        requests_per_second: Requests finished.
        running: Requests that run at once.
        saturated: More arrives than is served: the latencies then hold no queueing, and have no meaning.
        parts: Seconds of the parts that Multipliers scale, for calibration: (fixed, growing, prompts) of the ITL,
            and (prompts, waiting) of the TTFT.
        chunk_seconds: What a step with a chunk of prompts takes more than one without; all of it where they are apart.
        chunk_share: Chunks per decoding step, at most 1: how often a token waits for one.
        queue_seconds: What of the TTFT is waiting for a place.
    """

    ttft_seconds: Floats
    itl_seconds: Floats
    requests_per_second: Floats
    running: Floats
    saturated: Flags
    parts: Parts
    chunk_seconds: Floats
    chunk_share: Floats
    queue_seconds: Floats


class Loads:
    """Loads as arrays; all of them closed loops, or all open ones.

    Args:
        loads: At least one.
    """

    def __init__(self, loads: Sequence[Load]) -> None:
        self.closed = loads[0].concurrency is not None
        self.offered = np.array([(load.concurrency or load.requests_per_second) for load in loads], dtype=np.float64)
        self.output = np.array([load.output_tokens for load in loads])
        self.computed = np.array([load.computed_tokens for load in loads])
        self.context = np.array([load.mean_context for load in loads])
        self.held = np.array([load.held_tokens for load in loads])
        self.prompt_context = np.array([load.input_tokens - load.computed_tokens / 2.0 for load in loads])


class Service:
    """Deployments under load.

    Args:
        columns: The deployments: one, or one for each candidate.
        constants: The model's constants.
        multipliers: What was learned of this very instance; or cases of it, in the place of candidates.
    """

    def __init__(
        self,
        columns: StepColumns,
        constants: SpeedConstants,
        multipliers: Multipliers | MultiplierCases | None = None,
    ) -> None:
        self._of, self._constants = columns, constants
        self._times = multipliers or Multipliers()
        self._timer = StepTimer(columns, constants)
        one, none = np.ones(1), np.zeros(1)
        self._fixed = self._timer.seconds(one, one, none, none)
        self._apart = columns.of("prefill_apart") > 0
        self._wait_steps = _wait_steps(columns, constants)

    def under(self, loads: Loads, limits: Limits) -> Flow:
        """The flow that loads lead to."""
        most = np.minimum(limits.running, limits.cache_tokens / loads.held)
        most = np.maximum(np.minimum(most, self._most_in_step(loads, limits)), 1.0)
        return self._closed(loads, limits, most) if loads.closed else self._open(loads, limits, most)

    def _most_in_step(self, loads: Loads, limits: Limits) -> Floats:
        """Sequences that decode beside the prompts that follow them: both share the tokens of a step.

        512 tokens, prompts of 215, answers of 198: 512 / (1 + 215 / 198) = 245 sequences.
        """
        ranks = self._of.of("attention_ranks") * self._of.of("stages")
        shared = limits.batched_tokens * ranks / (1.0 + loads.computed / loads.output)
        most: Floats = np.where(self._apart, np.inf, shared)
        return most

    def _closed(self, loads: Loads, limits: Limits, most: Floats) -> Flow:
        """A number of clients, each sending its next request when one ends, all starting at once."""
        clients = loads.offered
        running = np.minimum(most, clients)
        flow = self._flow(loads, limits, running, self._constants.burst_share, clients)
        queue = (clients - running) / running * (flow.ttft_seconds + loads.output * flow.itl_seconds)
        return _queued(flow, queue, flow.requests_per_second, flow.saturated)

    def _open(self, loads: Loads, limits: Limits, most: Floats) -> Flow:
        """Requests that come when they come: as many decode as make their rate, up to the most that fit."""
        most = np.minimum(most, _MOST_RUNNING)
        full = self._flow(loads, limits, most)
        decoding = self._decoding(loads, limits, most)
        parts = self._parts(loads, limits, decoding, decoding, (0.0, np.zeros(1)))
        itl, ttft = parts[0] + parts[1] + parts[2], parts[3] + parts[4]
        busy = loads.offered / full.requests_per_second
        saturated = busy >= ALMOST_FULL
        queue = queue_seconds(np.minimum(busy, ALMOST_FULL), most, most / full.requests_per_second)
        served = np.minimum(full.requests_per_second, loads.offered)
        running = np.minimum(served * (ttft + loads.output * itl), most)
        chunks = self._chunks(loads, limits, decoding)
        flow = Flow(ttft, itl, served, running, saturated, parts, *chunks, np.zeros(1))
        return _queued(flow, queue, served, saturated)

    def _decoding(self, loads: Loads, limits: Limits, most: Floats) -> Floats:
        """Sequences that decode at the offered rate: d = rate x output x ITL(d), by halving and one secant.

        The ITL grows slower than d below saturation, so d less the right side grows through zero once.
        """
        low, high = np.zeros(1), most
        under, over = np.full(1, -1.0), np.ones(1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            parts = self._parts(loads, limits, middle, middle, (0.0, np.zeros(1)))
            surplus = middle - loads.offered * loads.output * (parts[0] + parts[1] + parts[2])
            few = surplus < 0
            low, high = np.where(few, middle, low), np.where(few, high, middle)
            under, over = np.where(few, surplus, under), np.where(few, over, surplus)
        root: Floats = low + (high - low) * np.clip(-under / (over - under), 0.0, 1.0)
        return root

    def _flow(
        self, loads: Loads, limits: Limits, running: Floats, burst: float = 0.0, clients: Floats | None = None
    ) -> Flow:
        """The flow with this many requests running, without a queue."""
        decoding, start = running, (burst, np.zeros(1) if clients is None else clients)
        for _ in range(_ROUNDS):
            parts = self._parts(loads, limits, running, decoding, start)
            itl, ttft = parts[0] + parts[1] + parts[2], parts[3] + parts[4]
            residence = ttft + loads.output * itl
            decoding = running * loads.output * itl / residence
        chunks = self._chunks(loads, limits, decoding)
        never = np.zeros(residence.shape, dtype=bool)
        return Flow(ttft, itl, running / residence, running, never, parts, *chunks, np.zeros(1))

    def _chunks(self, loads: Loads, limits: Limits, decoding: Floats) -> tuple[Floats, Floats]:
        """What a chunk adds to a step, and in what share of the steps."""
        each, none = decoding / self._of.of("stages"), np.zeros(1)
        step = self._timer.seconds(each, loads.context, none, none)
        seconds, chunks = self._prefill(loads, limits, each, step)
        share: Floats = np.minimum(each / loads.output * chunks, 1.0)
        added: Floats = seconds / chunks * self._times.prompts
        return added, share

    def _parts(
        self, loads: Loads, limits: Limits, running: Floats, decoding: Floats, start: tuple[float, Floats]
    ) -> Parts:
        """Seconds of (fixed, growing, prompts) of the ITL and (prompts, waiting) of the TTFT."""
        k, times, (burst, clients) = self._constants, self._times, start
        stages = self._of.of("stages")
        none = np.zeros(1)
        step = self._timer.seconds(decoding / stages, loads.context, none, none)
        fixed, growing = np.minimum(self._fixed, step), np.maximum(step - self._fixed, 0.0)
        fixed, growing = fixed * times.fixed, growing * times.growing
        arriving = decoding / loads.output
        seconds, chunks = self._prefill(loads, limits, decoding / stages, step)
        chunks = np.maximum(chunks, 1.0)
        prefill = seconds * times.prompts
        client = np.where(clients > 0, k.tester_seconds + k.client_seconds * clients, 0.0)
        waiting = k.request_seconds + client + (self._wait_steps + chunks - 1.0) * (fixed + growing)
        own = prefill * (1.0 + arriving + burst * running / 2.0)
        return fixed, growing, arriving * prefill / stages, own, waiting * times.waiting

    def _prefill(self, loads: Loads, limits: Limits, decoding: Floats, step: Floats) -> tuple[Floats, Floats]:
        """Seconds that one prompt adds to the engine's work, and in how many steps it is processed.

        Prompts that come in one step are processed together, as far as the step's tokens go: less than one step each.
        """
        beside = np.where(self._apart, 0.0, decoding)
        coming = loads.computed * np.maximum(decoding / loads.output, 1.0)
        chunk = np.minimum(coming, np.maximum(limits.batched_tokens - beside, 1.0))
        chunks = loads.computed / chunk
        mixed = self._timer.seconds(beside, loads.context, chunk, loads.prompt_context)
        return chunks * np.where(self._apart, mixed, np.maximum(mixed - step, 0.0)), chunks


_MOST_RUNNING = 16_384.0
"""Requests that run at once where nothing is known to bound them: 1,024, vLLM's largest default, on 16 ranks."""


def _wait_steps(columns: StepColumns, constants: SpeedConstants) -> Floats:
    """Decode steps that a new request waits for; half of SGLang's receive interval where it is stated."""
    interval = columns.of("receive_interval")
    stated = constants.wait_steps + np.nan_to_num(interval) / 2.0
    sglang = np.where(np.isnan(interval), constants.sglang_wait_steps, stated)
    steps: Floats = np.where(columns.of("sglang") > 0, sglang, constants.wait_steps)
    return steps


def _queued(flow: Flow, queue: Floats, served: Floats, saturated: Flags) -> Flow:
    """The flow with a queue before it, whose length goes with the time that the running ones take."""
    fixed, growing, prompts, prefill, waiting = flow.parts
    parts = (fixed, growing, prompts, prefill + queue, waiting)
    return replace(
        flow,
        ttft_seconds=flow.ttft_seconds + queue,
        requests_per_second=served,
        saturated=saturated,
        parts=parts,
        queue_seconds=queue,
    )


def queue_seconds(busy: Floats, places: Floats, service_seconds: Floats) -> Floats:
    """Mean wait of Poisson arrivals for one of `places` servers (Sakasegawa 1977, one formula for M/M/c).

    busy^(sqrt(2 (c + 1)) - 1) / (c (1 - busy)) x service. c = 8, 90 % busy, 10 s: 0.9^3.24 / 0.8 x 10 = 8.9 s.
    """
    seconds: Floats = np.power(busy, np.sqrt(2.0 * (places + 1.0)) - 1.0) / (places * (1.0 - busy)) * service_seconds
    return seconds
