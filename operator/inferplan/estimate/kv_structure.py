"""The structure of a model's KV cache: its layers' caches, grouped, by pipeline stage. Pure, and kept once made."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.estimate.cache_spec import CacheKind, CacheSpec, UnsizedError
from inferplan.estimate.kv_formats import check_format
from inferplan.estimate.kv_groups import CacheGroup, PlacedSpec, group_layers
from inferplan.estimate.kv_packed import is_packed, packed_block_bytes, packed_groups, packed_request_bytes
from inferplan.estimate.kv_plan import CacheStructure, StageCache
from inferplan.estimate.kv_releases import V0_RULES, Check, Packing, PlannerRules, planner_rules
from inferplan.estimate.kv_settings import CacheSettings, StateMode
from inferplan.estimate.kv_specs import SpecMaker, raised_block
from inferplan.estimate.placement import Layout, Remainder, round_up, stages

_OWN_CACHES = ("DeepseekV41", "Qwen4", "Glm5Next", "Inkling", "Dots3", "Step5", "Whisper")
"""How architectures begin whose vLLM classes plan caches of their own kinds (vllm/models, 0.28.0 to 0.33.0)."""

_FIRST_STATES = (0, 10, 1)
_FIRST_SPECULATION = (0, 17, 0)
_FIRST_SORTED_BY_CLASS = (0, 10, 1)
_FIRST_LATENT = (0, 7, 0)
_LAST_ALIGNED_LATENT = (0, 8, 0)
_ALIGNMENT = 128


@lru_cache(maxsize=256)
def cache_structure(card: ModelCard, settings: CacheSettings) -> CacheStructure | Missing:
    """The layout of a model's cache under these settings, or why it is not known."""
    refusal = _refusal(card, settings)
    if refusal is not None:
        return refusal
    rules = V0_RULES if settings.is_v0 else planner_rules(settings.release)
    try:
        block_size, layers = _placed(card, settings, rules)
        return _structure(settings, rules, block_size, layers)
    except UnsizedError as error:
        return _unsupported(str(error))


def _refusal(card: ModelCard, settings: CacheSettings) -> Missing | None:
    if card.architecture.startswith(_OWN_CACHES):
        return _unsupported(f"{card.architecture} has kinds of caches that are not sized")
    mixers = [layer.mixer for layer in card.layer_counts]
    if any(isinstance(mixer, LinearAttention | Mamba) for mixer in mixers) and (
        settings.is_v0 or settings.release < _FIRST_STATES
    ):
        return _unsupported("the cache of recurrent states is not sized before vLLM 0.10.1")
    if settings.states.speculative_tokens and not _speculates(card, settings):
        return _unsupported("this release does not speculate with such recurrent states")
    latent = any(isinstance(mixer, LatentAttention | CompressedAttention) for mixer in mixers)
    if latent and settings.release < _FIRST_LATENT:
        return _unsupported("latent attention is not sized before vLLM 0.7")
    return check_format(settings.kv_format, settings.release, latent=latent)


def _speculates(card: ModelCard, settings: CacheSettings) -> bool:
    """Whether a release speculates with states: from 0.17 on, from 0.10.2 Qwen3-Next unless it aligns them."""
    early = card.architecture.startswith("Qwen3Next") and settings.states.mode is not StateMode.ALIGN
    return settings.release >= ((0, 10, 2) if early else _FIRST_SPECULATION)


def _placed(card: ModelCard, settings: CacheSettings, rules: PlannerRules) -> tuple[int, list[PlacedSpec]]:
    """Block size of attention, and every layer's cache with its stage, in the planner's order."""
    maker = SpecMaker(settings, rules, card.num_layers, keeps_boundary=not card.has_states)
    mixers = [layer.mixer for layer in card.layers]
    block_size, state_page = _blocks(maker, mixers)
    remainder = Remainder.ALL_LAST if settings.release < (0, 8, 0) else Remainder.BEFORE_LAST
    spans = stages(len(mixers), Layout(pipeline=settings.pipeline_parallel, remainder=remainder))
    stage_of = [stage for stage, (start, end) in enumerate(spans) for _ in range(end - start)]
    stage_of += [settings.pipeline_parallel - 1] * len(settings.drafts)
    mixers += [layer.mixer for layer in settings.drafts]
    placed = [
        PlacedSpec(spec, stage)
        for index, (mixer, stage) in enumerate(zip(mixers, stage_of, strict=True))
        for spec in maker.specs(index, mixer, block_size, state_page)
    ]
    if rules.states_last:
        placed.sort(key=lambda layer: layer.spec.kind is CacheKind.STATE)
    return block_size, placed


def _blocks(maker: SpecMaker, mixers: Sequence[Mixer | None]) -> tuple[int, int | None]:
    """Block size of attention layers, and bytes that state pages are padded to."""
    settings = maker.settings
    states = {maker.state_bytes(mixer) for mixer in mixers if isinstance(mixer, LinearAttention | Mamba)}
    attending = {mixer for mixer in mixers if isinstance(mixer, Attention | LatentAttention)}
    if not states or not attending:
        return settings.block_size, None
    symmetric = [replace(m, v_head_dim=m.head_dim) if isinstance(m, Attention) else m for m in attending]
    tokens = {next(iter(maker.specs(0, mixer, settings.block_size, None))).token_bytes for mixer in symmetric}
    if len(tokens) > 1:
        raise UnsizedError("attention of several widths beside recurrent states is not sized")
    (token_bytes,) = tokens
    block_size = raised_block(settings, token_bytes, max(states))
    page = block_size * token_bytes
    return block_size, None if states == {page} else page


def _structure(
    settings: CacheSettings, rules: PlannerRules, block_size: int, layers: list[PlacedSpec]
) -> CacheStructure:
    if rules.check is Check.POOL:
        layers = [replace(layer, spec=_as_v0(layer.spec, settings)) for layer in layers]
        groups: tuple[CacheGroup, ...] = (CacheGroup(tuple(layers), is_mixed=True),) if layers else ()
        by_stage = [groups] * settings.pipeline_parallel
    else:
        by_stage = _groups_by_stage(settings, rules, layers)
    parts = tuple(_stage(stage, groups, layers, rules) for stage, groups in enumerate(by_stage))
    if layers and not all(part.block_bytes for part in parts):
        raise UnsizedError("a pipeline stage has no layer with a cache")
    fullest = max(range(len(parts)), key=lambda stage: parts[stage].block_bytes)
    _refuse_context(settings, by_stage[fullest])
    return CacheStructure(settings, rules, block_size, parts)


def _groups_by_stage(
    settings: CacheSettings, rules: PlannerRules, layers: list[PlacedSpec]
) -> list[tuple[CacheGroup, ...]]:
    """The groups that each stage works with: the model's, or before 0.11 its own."""
    is_hybrid = settings.hybrid_manager and rules.has_groups
    count = settings.pipeline_parallel
    if is_packed(layers):
        _refuse_packed(settings, rules)
        return [packed_groups(layers, rules)] * count
    if not rules.groups_by_rank:
        return [group_layers(layers, rules, is_hybrid=is_hybrid)] * count
    parts = ([layer for layer in layers if layer.stage == stage] for stage in range(count))
    own = [group_layers(part, rules, is_hybrid=is_hybrid) for part in parts]
    by_class = settings.release >= _FIRST_SORTED_BY_CLASS  # before, by a name in which full attention comes first
    kinds = [
        sorted(
            (_merged(group, rules) for group in groups), key=lambda spec: (not by_class and not spec.is_full, spec.kind)
        )
        for groups in own
    ]
    if any(mine != first for others in kinds[1:] for first, mine in zip(kinds[0], others, strict=False)):
        raise UnsizedError("this release refuses pipeline stages whose layers are of different kinds")
    return own


def _merged(group: CacheGroup, rules: PlannerRules) -> CacheSpec:
    """What stands for a group where stages are compared: with the window of the layers that have one, from 0.9 on."""
    windows = [layer.spec.window for layer in group.layers if layer.spec.window is not None]
    return replace(group.spec, window=max(windows, default=None) if rules.has_groups else None)


def _stage(stage: int, groups: tuple[CacheGroup, ...], layers: list[PlacedSpec], rules: PlannerRules) -> StageCache:
    own = tuple(layer.spec for layer in layers if layer.stage == stage)
    if not groups:
        return StageCache(0, groups, own, ())
    whole = sum(layer.spec.page_bytes for layer in groups[0].layers)
    if is_packed(groups[0].layers):
        block_bytes = packed_block_bytes(groups, stage, rules)
        demand = _demand(groups, own, packed_request_bytes(groups, stage, rules), rules)
        return StageCache(block_bytes, groups, own, demand)
    block_bytes = max(group.bytes_on(stage) for group in groups)
    if groups[0].is_mixed and rules.stage_pays_all:
        block_bytes = whole
    return StageCache(block_bytes, groups, own, _demand(groups, own, block_bytes, rules))


def _demand(
    groups: tuple[CacheGroup, ...], own: tuple[CacheSpec, ...], block_bytes: int, rules: PlannerRules
) -> tuple[tuple[int, CacheSpec], ...]:
    """What the start-up check counts, see `Check`."""
    if rules.check is Check.LAYERS:
        counts: dict[CacheSpec, int] = {}
        for spec in own:
            counts[spec] = counts.get(spec, 0) + spec.page_bytes
        return tuple((size, spec) for spec, size in counts.items())
    first = groups[0].spec
    if rules.check is Check.MODEL_FIRST_GROUP:
        largest = max(sum(layer.spec.page_bytes for layer in group.layers) for group in groups)
        return ((largest, first),)
    if rules.check is Check.FIRST_GROUP:
        return ((block_bytes, first),)
    counted: dict[CacheSpec, int] = {}
    for group in groups:
        counted[group.spec] = counted.get(group.spec, 0) + block_bytes
    return tuple((size, spec) for spec, size in counted.items())


def _as_v0(spec: CacheSpec, settings: CacheSettings) -> CacheSpec:
    """Full attention for all; 0.7 aligns a compressed vector to 256 bytes: 576 values become 640.

    get_cache_block_size and _align_cache, vllm/worker/cache_engine.py (0.7.3; gone in 0.8.5).
    """
    if spec.kind is CacheKind.LATENT:
        width = settings.release < _LAST_ALIGNED_LATENT
        values = int(spec.shape[1])
        size = spec.token_bytes // values * (round_up(values, _ALIGNMENT) if width else values)
        return replace(spec, token_bytes=size)
    return replace(spec, kind=CacheKind.FULL, window=None)


def _refuse_packed(settings: CacheSettings, rules: PlannerRules) -> None:
    """Refuse what a release plans in another way for compressed attention, or tells apart by stage."""
    if not settings.hybrid_manager:
        raise UnsizedError("compressed attention without the hybrid KV cache manager is not sized")
    if settings.pipeline_parallel > 1 and rules.packing in {Packing.TUPLES, Packing.SLOTS}:
        raise UnsizedError("compressed attention in pipeline stages is not sized before vLLM 0.27")


def _refuse_context(settings: CacheSettings, groups: tuple[CacheGroup, ...]) -> None:
    windowed = any(group.spec.kind in {CacheKind.SLIDING, CacheKind.CHUNKED} for group in groups)
    if settings.context_parallel > 1 and windowed:
        raise UnsizedError("decode context parallelism does not go with windows")


def _unsupported(why: str) -> Missing:
    return Missing(Reason.MODEL_UNSUPPORTED, why)
