"""The memory of one GPU as a function of the scheduler's limits: built once, asked for one point or thousands. Pure.

requested = total x utilization; KV cache = requested - weights - activation peak - the rest, on the pipeline stage
that has least left (vllm/v1/worker/gpu_worker.py, determine_available_memory; SGLang's mem_fraction_static counts
weights and cache alone).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import hypot

import numpy as np
from numpy.typing import NDArray

from inferplan.api.values import Source
from inferplan.domain.measurement import Missing
from inferplan.domain.units import GIB, MIB
from inferplan.estimate.graph_memory import GraphMemory
from inferplan.estimate.kv_plan import CachePlans, CacheStructure
from inferplan.estimate.memory_limits import Bytes, Limits
from inferplan.estimate.memory_overheads import Span, activation_width
from inferplan.estimate.memory_terms import ACTIVATIONS, CUDA_GRAPHS, WEIGHTS, Term, term
from inferplan.estimate.profile_run import ProfileRun
from inferplan.estimate.sglang_cache import PoolCache

_NOT_MEASURED_WIDTH = 0.008
_MEASURED_WIDTH = 0.003
_SPREAD = 1.2
"""Ends of terms are read off few logs: their sum is widened until the intervals hold what they should (80 %)."""
_LEARNED_SHARE = 0.006
_LEARNED_WIDTH = 16 * MIB
_COMPILED_SHARE, _COMPILED_MOST = 0.75, 512 * MIB
"""By how much a start that compiles and one that finds compiled graphs differ: of the peak of activations, and at most.

vLLM 0.26.0, Qwen3-8B on an H100, same arguments: 1.29 GiB where torch.compile ran within the start, 0.78 GiB where its
cache was warm (benchmarks/results/closed_loop_gpu.json): 0.51 GiB, of a computed peak of 0.72 GiB 0.71. How it grows
beyond was not seen. Which of the two the instance's own start was, and which the next one will be, is not known.
"""


@dataclass(frozen=True)
class Usable:
    """Memory of one GPU as the engine sees it.

    Attributes:
        size_bytes: Of the whole GPU.
        measured: Whether logs say so; else it follows from what NVML says.
        basis: Where the number comes from.
    """

    size_bytes: int
    measured: bool
    basis: str

    @property
    def width(self) -> float:
        """Half of the 80 % interval, bytes: 0.3 % of what drivers make, 0.8 % where no log was found."""
        return self.size_bytes * (_MEASURED_WIDTH if self.measured else _NOT_MEASURED_WIDTH)


@dataclass(frozen=True)
class StageMemory:
    """What one pipeline stage holds.

    Attributes:
        weights: Bytes.
        samples: Whether it is the last, which samples.
    """

    weights: Span
    samples: bool


@dataclass(frozen=True)
class Overhead:
    """A term that does not depend on the limits."""

    name: str
    span: Span
    source: Source
    basis: str


@dataclass(frozen=True)
class MemoryModel:
    """One engine's memory per GPU.

    Attributes:
        usable: The GPU's memory.
        rounds_up: Whether the share is rounded up to whole bytes (vLLM from 0.14.1), else down.
        stages: Pipeline stages.
        weights_basis: Where the weights' bytes come from.
        run: The profile run; None where the engine does not measure one (SGLang).
        experts: Whether a layer has experts, whose scratch is less certain.
        graphs: CUDA graphs.
        graphs_counted: Whether they come out of the engine's share.
        overheads: Terms that do not depend on the limits.
        cache: The cache's layout, or why it is not known.
        fixed_bytes: kv_cache_memory_bytes: the cache's size whatever is left.
        learned_bytes: What the model took for the cache and the engine did not give it: see memory_calibration.
        learned_peak_bytes: The model's peak of activations where that was learned; 0 where it was not.
        learned: Whether `learned_bytes` comes from this very instance.
    """

    usable: Usable
    rounds_up: bool
    stages: tuple[StageMemory, ...]
    weights_basis: str
    run: ProfileRun | None
    experts: bool
    graphs: GraphMemory | None
    graphs_counted: bool
    overheads: tuple[Overhead, ...]
    cache: CacheStructure | PoolCache | Missing
    fixed_bytes: int | None = None
    learned_bytes: float = 0.0
    learned_peak_bytes: float = 0.0
    learned: bool = False

    def requested_bytes(self, limits: Limits) -> Bytes:
        """The engine's share. 79.18 GiB x 0.9 = 71.26 GiB."""
        share = np.asarray(self.usable.size_bytes * limits.utilization)
        return np.asarray(np.ceil(share) if self.rounds_up else np.floor(share))

    def kv_bytes(self, limits: Limits) -> Bytes:
        """Bytes left for the KV cache on the stage with least; negative where nothing is left.

        Limits may be arrays: 4,000 candidates take about a millisecond.
        """
        if self.fixed_bytes is not None:
            return np.asarray(self.fixed_bytes + 0.0 * limits.utilization)
        left = [self._left(stage, limits) for stage in self.stages]
        return np.asarray(np.min(np.stack(np.broadcast_arrays(*left)), axis=0) - self.difference_bytes(limits))

    def peak_bytes(self, limits: Limits) -> Bytes:
        """The highest peak of activations of any stage; 0 where the engine measures none."""
        peaks = np.broadcast_arrays(*(np.asarray(self._peak(stage, limits)) for stage in self.stages))
        return np.asarray(np.max(np.stack(peaks), axis=0))

    def difference_bytes(self, limits: Limits) -> Bytes:
        """What was learned, under these limits.

        Where the engine needed more than the arithmetic has, that much stays. Where it needed less, it is the
        activations that took less, and with smaller ones less of it is left: -2 GiB at a peak of 4 GiB are -0.5 GiB at
        a peak of 1 GiB. A cache is never promised what only larger activations could have given.
        """
        if self.learned_bytes >= 0 or not self.learned_peak_bytes:
            return np.asarray(self.learned_bytes)
        return np.asarray(self.learned_bytes * np.minimum(1.0, self.peak_bytes(limits) / self.learned_peak_bytes))

    def plans(self, limits: Limits) -> CachePlans | Missing:
        """What the engine's planner makes of it: blocks, tokens, concurrency, whether one request fits."""
        if isinstance(self.cache, Missing):
            return self.cache
        available = np.maximum(np.asarray(self.kv_bytes(limits)), 0).astype(np.int64)
        return self.cache.plans(available, _whole(limits.context), _whole(limits.tokens))

    def terms(self, limits: Limits) -> tuple[Term, ...]:
        """Terms beside the cache on the stage that has least left, for limits that are single numbers."""
        stage = min(self.stages, key=lambda each: float(self._left(each, limits)))
        return tuple(self._terms(stage, limits))

    def outside(self, limits: Limits) -> tuple[Term, ...]:
        """Memory beyond the engine's share: graphs that are not counted."""
        return () if self.graphs is None or self.graphs_counted else (_graph_term(self.graphs, limits),)

    def width(self, limits: Limits) -> tuple[float, float]:
        """How far the cache may lie below and above what is expected, 80 %, bytes. Errors of terms are independent.

        After the engine's own capacity was seen, what is left is rounding, a hundredth of what moves, and whether
        either start compiled.
        """
        if self.fixed_bytes is not None:
            return 0.0, 0.0
        if self.learned:
            left = max(0.0, float(self.kv_bytes(limits))) * _LEARNED_SHARE + _LEARNED_WIDTH
            if self.graphs is not None:
                left += min(_COMPILED_SHARE * float(self.peak_bytes(limits)), _COMPILED_MOST)
            return left, left
        usable = self.usable.width * float(limits.utilization)
        terms = self.terms(limits)
        below = hypot(usable, *(each.high - each.bytes for each in terms))
        above = hypot(usable, *(each.bytes - each.low for each in terms))
        return _SPREAD * below, _SPREAD * above

    def _left(self, stage: StageMemory, limits: Limits) -> Bytes:
        rest = sum(overhead.span[1] for overhead in self.overheads) + stage.weights[1]
        return np.asarray(self.requested_bytes(limits) - rest - self._peak(stage, limits) - self._graphs(limits))

    def _peak(self, stage: StageMemory, limits: Limits) -> Bytes:
        return 0.0 if self.run is None else self.run.peak_bytes(limits, samples=stage.samples)

    def _graphs(self, limits: Limits) -> Bytes:
        if self.graphs is None or not self.graphs_counted:
            return 0.0
        return self.graphs.size_bytes(limits.sequences, limits.tokens)

    def _terms(self, stage: StageMemory, limits: Limits) -> Iterator[Term]:
        yield term(WEIGHTS, stage.weights, Source.ROOFLINE, self.weights_basis)
        if self.run is not None:
            yield _activation_term(self.run, limits, samples=stage.samples, experts=self.experts)
        if self.graphs is not None and self.graphs_counted:
            yield _graph_term(self.graphs, limits)
        yield from _overhead_terms(self.overheads)


def _activation_term(run: ProfileRun, limits: Limits, *, samples: bool, experts: bool) -> Term:
    peak = float(run.peak_bytes(limits, samples=samples))
    sampler = float(run.sampler_bytes(limits)) if samples else 0.0
    below, above = activation_width(peak, sampler, experts=experts, less=_with_less(run, limits, peak))
    if sampler >= peak:
        rows = int(np.minimum(limits.sequences, limits.tokens))
        basis = f"sampling {rows} sequences x {run.vocabulary} entries: {run.sampler.basis}"
        return term(ACTIVATIONS, (peak - below, peak, peak + above), Source.ROOFLINE, basis)
    basis = f"the widest layer for {int(limits.tokens)} tokens at once"
    return term(ACTIVATIONS, (peak - below, peak, peak + above), Source.ROOFLINE, basis)


def _with_less(run: ProfileRun, limits: Limits, peak: float) -> float:
    """What the peak would be lower by with the sampler of a package that may be installed."""
    if not run.sampler.least:
        return 0.0
    lower = replace(run, sampler=replace(run.sampler, few=run.sampler.least, many=run.sampler.least))
    return peak - float(lower.peak_bytes(limits))


def _graph_term(graphs: GraphMemory, limits: Limits) -> Term:
    expected = float(graphs.size_bytes(limits.sequences, limits.tokens))
    low, middle, high = graphs.bytes_per_layer
    count = int(graphs.count(limits.sequences, limits.tokens))
    basis = f"{count} CUDA graphs x {graphs.layers} layers x {middle / 1024:.0f} KiB, as public logs have it"
    span = (expected * low / middle, expected, expected * high / middle)
    return term(CUDA_GRAPHS, span, Source.MEASURED_ELSEWHERE, basis)


def _overhead_terms(overheads: Iterable[Overhead]) -> Iterator[Term]:
    for overhead in overheads:
        yield term(overhead.name, overhead.span, overhead.source, overhead.basis)


def _whole(value: int | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(value, dtype=np.int64)


def in_gib(size_bytes: float) -> str:
    """Bytes as the engine's messages have them: "4.45 GiB"."""
    return f"{size_bytes / GIB:.2f} GiB"
