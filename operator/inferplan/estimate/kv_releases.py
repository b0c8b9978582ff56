"""What vLLM's planner of the KV cache does in which release, as data.

Read from vllm/v1/core/kv_cache_utils.py and vllm/v1/kv_cache_interface.py of 0.8.5 to 0.33.0 (from 0.33.0 also
vllm/v1/core/kv_cache_planning.py) and checked by running those releases' own planners: benchmarks/kv_planner.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from inferplan.estimate.release import Release


class Check(StrEnum):
    """What the check at start-up takes one request of max_model_len for.

    LAYERS: What each layer of the rank needs, windows as windows even where they are allocated in full.
    MODEL_FIRST_GROUP: The blocks of the first group, at the size of the whole model's groups, also where a stage
        holds part of them.
    FIRST_GROUP: The same, at the size of the rank's groups.
    GROUPS: The blocks of all groups.
    POOL: That the whole cache holds max_model_len tokens (V0).
    """

    LAYERS = "layers"
    MODEL_FIRST_GROUP = "model's first group"
    FIRST_GROUP = "first group"
    GROUPS = "groups"
    POOL = "pool"


class Packing(StrEnum):
    """How caches of several kinds and page sizes share a block (DeepSeek V4), see kv_packed.py.

    TUPLES: Pages are padded to the compressed attention's; a block is one page of each of its sizes, as many times as
        the most frequent page of a group.
    SLOTS: The same padding; a block is as many pages of each size as the group with the most has.
    WIDEST: A block is as large as the widest group's pages; the start-up check still counts tuples.
    REPEATS: The same block, which the check counts too; only caches that repeat in equal numbers are split.
    """

    TUPLES = "tuples"
    SLOTS = "slots"
    WIDEST = "widest"
    REPEATS = "repeats"


@dataclass(frozen=True)
class PlannerRules:
    """How one release plans.

    Attributes:
        has_groups: Layers of different kinds get groups of their own; before, windows are allocated in full.
        has_chunks: Chunked local attention has a kind of its own; before, it is allocated in full.
        groups_by_rank: Each pipeline stage groups its own layers; later the whole model's groups are shared out.
        states_last: Attention layers come before state layers, whatever the model's order.
        one_type_one_group: Layers of one type and different widths share a group whose page is the sum of theirs.
        stage_pays_all: A stage's block of such a group is as large as that of the whole model.
        unifies_pages: Smaller pages are made larger by more tokens per block.
        pads_pages: Attention pages that do not divide the largest are padded to it.
        pads_states: State pages are padded to the largest.
        slack: The larger group size is taken where it is less than this times the smaller.
        check: See `Check`.
        holds_null_block: The check leaves out the one block that is never handed out.
        tokens_by_concurrency: The printed tokens are concurrency x max_model_len, not blocks / groups x block size.
        counts_batches: Windows make room for the tokens of all batches in flight, not of one.
        value_width: A value head's own width counts in full attention; before, it is taken for the key's.
        window_value_width: The same for sliding windows.
        chunk_value_width: The same for chunked local attention.
        packs_windows: NVFP4 packs sliding windows too.
        smallest_window_block: Sliding windows start from blocks of 16 tokens, whatever block_size says.
        widens_promoted: Windows that are allocated in full take the block size of full attention.
        speculative_states: Speculated tokens have state pages of their own.
        speculative_states_by_length: The same where states are kept along the whole length.
        state_modes: mamba_cache_mode exists; before, prefix caching keeps states along the whole length.
        contexts_multiply: The printed tokens are multiplied by the context parallelism.
        packing: How caches of several page sizes share a block; None where none do.
    """

    has_groups: bool = False
    has_chunks: bool = False
    groups_by_rank: bool = True
    states_last: bool = True
    one_type_one_group: bool = False
    stage_pays_all: bool = False
    unifies_pages: bool = False
    pads_pages: bool = False
    pads_states: bool = False
    slack: float = 1.0
    check: Check = Check.LAYERS
    holds_null_block: bool = False
    tokens_by_concurrency: bool = False
    counts_batches: bool = False
    value_width: bool = False
    window_value_width: bool = False
    chunk_value_width: bool = False
    packs_windows: bool = False
    smallest_window_block: bool = False
    widens_promoted: bool = False
    speculative_states: bool = False
    speculative_states_by_length: bool = False
    state_modes: bool = False
    contexts_multiply: bool = False
    packing: Packing | None = None


_Values = Mapping[str, bool | float | Check | Packing]

_CHANGES: tuple[tuple[Release, _Values], ...] = (
    # First release with it (of those in between that were not read, the first of the minor version) → what changed.
    ((0, 9, 0), {"has_groups": True}),
    ((0, 10, 0), {"has_chunks": True}),
    ((0, 10, 2), {"contexts_multiply": True}),
    ((0, 11, 0), {"groups_by_rank": False, "one_type_one_group": True, "stage_pays_all": True}),
    ((0, 11, 1), {"states_last": False}),
    ((0, 12, 0), {"unifies_pages": True, "slack": 1.25}),
    ((0, 14, 0), {"check": Check.MODEL_FIRST_GROUP, "value_width": True}),
    ((0, 15, 0), {"state_modes": True, "speculative_states": True}),
    ((0, 17, 0), {"check": Check.FIRST_GROUP, "stage_pays_all": False}),
    ((0, 18, 0), {"slack": 1.5}),
    ((0, 19, 0), {"check": Check.GROUPS}),
    ((0, 20, 0), {"tokens_by_concurrency": True, "window_value_width": True, "packing": Packing.TUPLES}),
    ((0, 21, 0), {"packs_windows": True}),
    ((0, 22, 0), {"speculative_states_by_length": True}),
    ((0, 23, 0), {"packing": Packing.SLOTS}),
    ((0, 24, 0), {"pads_pages": True}),
    ((0, 25, 0), {"smallest_window_block": True}),
    ((0, 26, 0), {"counts_batches": True, "pads_states": True}),
    ((0, 27, 0), {"widens_promoted": True, "packing": Packing.WIDEST}),
    ((0, 28, 0), {"chunk_value_width": True}),
    ((0, 29, 0), {"holds_null_block": True, "packing": Packing.REPEATS}),
    ((0, 30, 0), {"smallest_window_block": False}),
)

V0_RULES = PlannerRules(check=Check.POOL)
"""The first engine core's: available bytes / bytes of a block (vllm/worker/worker.py, 0.6.6 to 0.10.2)."""


@cache
def planner_rules(release: Release) -> PlannerRules:
    """The rules of a V1 release, those of the last one read for later ones."""
    rules = PlannerRules()
    for since, changes in _CHANGES:
        if release >= since:
            rules = replace(rules, **changes)  # type: ignore[arg-type]  # the table's keys are the fields
    return rules
