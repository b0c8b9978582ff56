"""How many tokens the KV cache holds: vLLM's planner as arithmetic on numbers and arrays. Pure.

get_kv_cache_configs and what it calls, by release (kv_releases.py); checked against the releases' own planners by
benchmarks/kv_planner.py.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from inferplan.estimate.cache_spec import CacheKind, CacheSpec
from inferplan.estimate.kv_groups import CacheGroup
from inferplan.estimate.kv_releases import Check, Packing, PlannerRules
from inferplan.estimate.kv_settings import CacheSettings, StateMode

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
_Numbers = int | Whole

_Value = TypeVar("_Value", np.int64, np.float64)

_LONGEST_BITS = 40
LENGTH_MAX = 2**_LONGEST_BITS
"""Lengths below this are planned for, in tokens."""


@dataclass(frozen=True)
class CachePlan:
    """What the planner makes of one amount of memory.

    Attributes:
        num_blocks: Blocks of the pool, of the rank with the fewest.
        block_size: Tokens per block of full attention, as the engine reports it.
        tokens: Tokens as the engine prints them.
        max_concurrency: Requests of max_model_len that fit at once, as the engine prints it.
        request_bytes: Bytes of the fullest rank that the start-up check asks for one such request.
        fits: Whether that check passes; in 0.14 to 0.18 it counts the first group only, and passes where
            `holds_request` does not.
    """

    num_blocks: int
    block_size: int
    tokens: int
    max_concurrency: float
    request_bytes: int
    fits: bool

    @property
    def holds_request(self) -> bool:
        """Whether one request of max_model_len fits, and the engine starts."""
        return self.fits and self.max_concurrency >= 1


@dataclass(frozen=True)
class CachePlans:
    """As `CachePlan`, of many amounts at once."""

    num_blocks: Whole
    block_size: int
    tokens: Whole
    max_concurrency: Real
    request_bytes: Whole
    fits: npt.NDArray[np.bool_]

    @property
    def holds_request(self) -> npt.NDArray[np.bool_]:
        """Whether one request of max_model_len fits, and the engine starts."""
        return self.fits & (self.max_concurrency >= 1)


@dataclass(frozen=True)
class StageCache:
    """One pipeline stage's part.

    Attributes:
        block_bytes: Bytes of one block of the pool.
        groups: The groups that it works with: the model's, before 0.11 those of its own layers.
        specs: Its layers' caches, in order.
        demand: Bytes by cache: times its blocks per request, together what the start-up check asks for.
    """

    block_bytes: int
    groups: tuple[CacheGroup, ...]
    specs: tuple[CacheSpec, ...]
    demand: tuple[tuple[int, CacheSpec], ...]


@dataclass(frozen=True)
class CacheStructure:
    """How one model's cache is laid out: all that does not depend on memory and lengths.

    Attributes:
        settings: The settings that it was made for.
        rules: The release's rules.
        block_size: Tokens per block of full attention.
        stages: The pipeline's stages.
    """

    settings: CacheSettings
    rules: PlannerRules
    block_size: int
    stages: tuple[StageCache, ...]

    @cached_property
    def groups(self) -> tuple[CacheGroup, ...]:
        """Groups of layers on the stage with the largest blocks; none without a cache."""
        return max(self.stages, key=lambda stage: stage.block_bytes).groups

    @cached_property
    def block_bytes(self) -> int:
        """Bytes of one block on the stage with the largest ones; 0 without a cache."""
        return max((stage.block_bytes for stage in self.stages), default=0)

    @cached_property
    def token_bytes(self) -> int:
        """Bytes that one more token of a long request takes on the stage with the most: full attention only.

        Qwen3-8B, bf16, TP 1: 36 x 8 x 256 x 2 = 147,456.
        """
        return max((_growing_bytes(stage.specs) for stage in self.stages), default=0)

    @cached_property
    def fixed_bytes(self) -> int:
        """Bytes of states that a request takes whatever its length, on the stage with the most."""
        states = (_fixed_bytes(stage.specs) for stage in self.stages)
        return max(states, default=0)

    def plan(self, available_bytes: int, max_model_len: int, max_num_batched_tokens: int) -> CachePlan:
        """The plan for one amount of memory per rank.

        Raises:
            ValueError: A number is not positive, or absurd.
        """
        _check(max_model_len=max_model_len, max_num_batched_tokens=max_num_batched_tokens)
        plans = self.plans(_whole(available_bytes), _whole(max_model_len), _whole(max_num_batched_tokens))
        return CachePlan(
            num_blocks=int(plans.num_blocks),
            block_size=plans.block_size,
            tokens=int(plans.tokens),
            max_concurrency=float(plans.max_concurrency),
            request_bytes=int(plans.request_bytes),
            fits=bool(plans.fits),
        )

    def plans(self, available_bytes: _Numbers, max_model_len: _Numbers, max_num_batched_tokens: _Numbers) -> CachePlans:
        """The plans for arrays of positive numbers, which may be of one shape or broadcast to it."""
        available, length, batched = (
            _whole(number) for number in (available_bytes, max_model_len, max_num_batched_tokens)
        )
        blocks = self._blocks(available)
        told = self._told(available)
        shares = [self._concurrency(own, groups, length, batched) for own, groups in told]
        tokens = [self._tokens(own, groups, length, share) for (own, groups), share in zip(told, shares, strict=True)]
        return CachePlans(
            num_blocks=blocks,
            block_size=self.block_size,
            tokens=_least(tokens),
            max_concurrency=_least(shares),
            request_bytes=self.request_bytes(length, batched),
            fits=self._fits(available, blocks, length, batched),
        )

    def _told(self, available: Whole) -> list[tuple[Whole, tuple[CacheGroup, ...]]]:
        """Blocks and groups that tokens are printed of: one for all, before 0.11 one for each stage."""
        if not self.rules.groups_by_rank:
            return [(self._blocks(available), self.groups)]
        return [(self._blocks_of(available, stage.block_bytes), stage.groups) for stage in self.stages]

    def request_bytes(self, max_model_len: _Numbers, max_num_batched_tokens: _Numbers) -> Whole:
        """Bytes of the fullest rank that the start-up check asks for one request of max_model_len."""
        length, batched = _whole(max_model_len), _whole(max_num_batched_tokens)
        needs = [self._demand(stage, length, batched) for stage in self.stages]
        return np.max(np.stack(np.broadcast_arrays(*needs)), axis=0) if needs else np.zeros_like(length)

    def longest(self, available_bytes: _Numbers, max_model_len: _Numbers, max_num_batched_tokens: _Numbers) -> Whole:
        """The longest max_model_len up to the given one that the check lets pass; 0 where not one token does.

        estimate_max_model_len and _estimate_max_model_len_from_groups halve an interval; so does this.
        """
        available, most, batched = (
            _whole(number) for number in (available_bytes, max_model_len, max_num_batched_tokens)
        )
        low = np.zeros(np.broadcast_shapes(available.shape, most.shape, batched.shape), dtype=np.int64)
        high = low + most
        for _ in range(_LONGEST_BITS):
            middle = (low + high + 1) // 2
            passes = self._fits(available, self._blocks(available), np.maximum(middle, 1), batched)
            low, high = np.where(passes, middle, low), np.where(passes, high, np.maximum(middle - 1, low))
            if np.all(low == high):
                break
        return low

    def _blocks(self, available: Whole) -> Whole:
        return self._blocks_of(available, self.block_bytes)

    def _blocks_of(self, available: Whole, block_bytes: int) -> Whole:
        override = self.settings.blocks_override
        if override is not None:
            return np.full_like(available, override)
        if not block_bytes:
            return np.ones_like(available)  # the block that is always held back
        return np.maximum(available // block_bytes, 0)

    def _concurrency(self, blocks: Whole, groups: tuple[CacheGroup, ...], length: Whole, batched: Whole) -> Real:
        if self.rules.check is Check.POOL or not self.rules.has_groups:
            return np.asarray(blocks * self.block_size / length, dtype=np.float64)
        asked = [self._request_blocks(group.spec, length, batched) for group in groups]
        needed = self._weighed(asked, groups) if self._weighs else sum(asked, _whole(0))
        return np.asarray(blocks / np.maximum(needed, 1), dtype=np.float64)

    @cached_property
    def _weighs(self) -> bool:
        """Whether a block counts by its group's bytes, of which a packed cache has different ones (to 0.26)."""
        return self.rules.packing in {Packing.TUPLES, Packing.SLOTS} and self.groups[0].is_mixed

    @staticmethod
    def _weighed(asked: list[Whole], groups: tuple[CacheGroup, ...]) -> Whole:
        """Blocks of the first group that are as large as those of all (get_max_concurrency_for_kv_cache_config)."""
        sizes = [sum(layer.spec.page_bytes for layer in group.layers) for group in groups]
        return _ceil(sum((blocks * size for blocks, size in zip(asked, sizes, strict=True)), _whole(0)), sizes[0])

    def _tokens(self, blocks: Whole, groups: tuple[CacheGroup, ...], length: Whole, concurrency: Real) -> Whole:
        if self.rules.tokens_by_concurrency:
            return (concurrency * length).astype(np.int64)
        sizes = [group.spec.block_size for group in groups]
        if self.rules.groups_by_rank and len(sizes) == 1:
            sizes = [self.block_size]
        smallest = _whole(min((size for size in sizes if size), default=np.iinfo(np.int64).max))
        if 0 in sizes or not sizes:  # the block of a state is as long as the request
            smallest = np.minimum(smallest, length)
        contexts = self.settings.context_parallel if self.rules.contexts_multiply else 1
        return blocks // max(1, len(groups)) * smallest * contexts

    def _fits(self, available: Whole, blocks: Whole, length: Whole, batched: Whole) -> npt.NDArray[np.bool_]:
        if not self.groups:
            return np.ones(np.broadcast_shapes(available.shape, length.shape, batched.shape), dtype=np.bool_)
        if self.rules.check is Check.POOL:
            return np.asarray(blocks * self.block_size >= length)
        override = self.settings.blocks_override
        fits: npt.NDArray[np.bool_] = np.asarray(available > 0)
        for stage in self.stages:
            memory = available
            if override is not None and self.rules.tokens_by_concurrency:
                memory = np.full_like(available, override * stage.block_bytes)
            held = stage.block_bytes if self.rules.holds_null_block else 0
            fits = fits & (self._demand(stage, length, batched) <= memory - held)
        return fits

    def _demand(self, stage: StageCache, length: Whole, batched: Whole) -> Whole:
        asked = (size * self._request_blocks(spec, length, batched) for size, spec in stage.demand)
        return sum(asked, np.zeros_like(length))

    def _request_blocks(self, spec: CacheSpec, length: Whole, batched: Whole) -> Whole:
        """Blocks of one layer that a request of a length takes at most (max_memory_usage_bytes / page)."""
        if spec.kind is CacheKind.STATE:
            kept = _ceil(length, spec.block_size) if self._keeps_all else np.zeros_like(length)
            return kept + spec.pages
        if spec.is_full:
            return _ceil(_ceil(length, self.settings.context_parallel), spec.block_size)
        batches = self.settings.concurrent_batches if self.rules.counts_batches else 1
        window = spec.window or 0
        if spec.kind is CacheKind.SLIDING:
            kept = window - 1 + self.settings.window_tokens + batches * batched
            return _ceil(np.minimum(kept, length), spec.block_size) + 1
        return _ceil(np.minimum(window + batches * batched, length), spec.block_size)

    @cached_property
    def _keeps_all(self) -> bool:
        return self.settings.states.mode is StateMode.ALL


def _growing_bytes(specs: tuple[CacheSpec, ...]) -> int:
    return ceil(sum(spec.growing_bytes for spec in specs))


def _fixed_bytes(specs: tuple[CacheSpec, ...]) -> int:
    return sum(spec.page_bytes * spec.pages for spec in specs if spec.kind is CacheKind.STATE)


def _least(values: list[npt.NDArray[_Value]]) -> npt.NDArray[_Value]:
    least: npt.NDArray[_Value] = np.min(np.stack(np.broadcast_arrays(*values)), axis=0)
    return least


def _ceil(value: Whole, step: int) -> Whole:
    return -(-value // step)


def _whole(value: _Numbers | np.integer) -> Whole:
    return np.asarray(value, dtype=np.int64)


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if not 0 < number < LENGTH_MAX:
            raise ValueError(f"{name} must be from 1 to 2^{_LONGEST_BITS}, not {number}")
