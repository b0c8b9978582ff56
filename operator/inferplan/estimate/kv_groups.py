"""How vLLM groups the layers of a model that share blocks of the KV cache. Pure.

get_kv_cache_groups, vllm/v1/core/kv_cache_utils.py (0.11.0 to 0.32.0) and kv_cache_planning.py (0.33.0); before,
get_kv_cache_config of each stage (0.8.5 to 0.10.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferplan.estimate.cache_spec import CacheKind, CacheSpec, UnsizedError
from inferplan.estimate.kv_releases import PlannerRules


@dataclass(frozen=True)
class PlacedSpec:
    """One layer's cache and the pipeline stage that has it."""

    spec: CacheSpec
    stage: int


@dataclass(frozen=True)
class CacheGroup:
    """Layers that share one block table.

    Attributes:
        layers: Its layers, in order.
        is_mixed: Whether they may differ in width, so that a block is the sum of their pages.
    """

    layers: tuple[PlacedSpec, ...]
    is_mixed: bool = False

    @property
    def spec(self) -> CacheSpec:
        """What stands for the group: how many blocks a request needs is the same for all its layers."""
        return self.layers[0].spec

    def bytes_on(self, stage: int) -> int:
        """Bytes of one block on a stage."""
        return sum(layer.spec.page_bytes for layer in self.layers if layer.stage == stage)

    def layers_on(self, stage: int) -> int:
        """Layers on a stage."""
        return sum(layer.stage == stage for layer in self.layers)


def group_layers(layers: Sequence[PlacedSpec], rules: PlannerRules, *, is_hybrid: bool) -> tuple[CacheGroup, ...]:
    """The groups of a model's layers.

    Args:
        layers: Layers with a cache, in the planner's order.
        rules: The release's rules.
        is_hybrid: Whether kinds get groups of their own (the hybrid KV cache manager runs).

    Raises:
        UnsizedError: This release's planner refuses such a model.
    """
    layers = layers if is_hybrid else allocated_in_full(layers, rules)
    if not layers:
        return ()
    if _is_one_kind([layer.spec for layer in layers]):
        return (CacheGroup(tuple(layers)),)
    if rules.one_type_one_group and _is_one_type([layer.spec for layer in layers]):
        return (CacheGroup(tuple(layers), is_mixed=True),)
    if not is_hybrid:
        raise UnsizedError("without the hybrid KV cache manager, layers of such different kinds get no common cache")
    return _equal_groups(_same_pages(layers, rules), rules)


def allocated_in_full(layers: Sequence[PlacedSpec], rules: PlannerRules) -> Sequence[PlacedSpec]:
    """Windows and chunks beside full attention as full attention (unify_hybrid_kv_cache_specs)."""
    specs = [layer.spec for layer in layers]
    if _is_one_kind(specs) or (rules.one_type_one_group and _is_one_type(specs)):
        return layers
    full = {spec.block_size for spec in specs if spec.is_full}
    if not full:
        return layers
    wider = next(iter(full)) if rules.widens_promoted and len(full) == 1 else None
    return [replace(layer, spec=_promoted(layer.spec, wider)) for layer in layers]


def _promoted(spec: CacheSpec, block_size: int | None) -> CacheSpec:
    if spec.kind not in {CacheKind.SLIDING, CacheKind.CHUNKED}:
        return spec
    size = block_size or spec.block_size
    return replace(
        spec, kind=CacheKind.FULL, block_size=size, token_bytes=spec.full_bytes, shape=(*spec.shape[:-1], True)
    )


def _is_one_kind(specs: Sequence[CacheSpec]) -> bool:
    """Whether all merge into one spec: full attention also where some of it looks at one and the same window."""
    first = specs[0]
    windows = {spec.window for spec in specs if spec.window is not None}
    if first.kind is CacheKind.FULL:
        alike = all(replace(spec, window=None) == replace(first, window=None) for spec in specs)
        if alike and len(windows) > 1:
            raise UnsizedError("windows of different sizes cannot be allocated in full by this planner")
        return alike
    return all(spec == first for spec in specs)


def _is_one_type(specs: Sequence[CacheSpec]) -> bool:
    """Whether all need the same number of tokens, whatever a token takes (UniformTypeKVCacheSpecs)."""
    first = specs[0]
    if len({spec.block_size for spec in specs}) > 1:
        return False
    if first.is_full:
        return all(spec.is_full for spec in specs)
    if first.kind is CacheKind.STATE:
        return all(spec.kind is CacheKind.STATE and spec.page_bytes == first.page_bytes for spec in specs)
    return all(spec.kind is first.kind and spec.window == first.window for spec in specs)


def _same_pages(layers: Sequence[PlacedSpec], rules: PlannerRules) -> Sequence[PlacedSpec]:
    """Pages of one size (unify_kv_cache_spec_page_size): more tokens per block, or padding."""
    largest = max(layer.spec.page_bytes for layer in layers)
    if all(layer.spec.page_bytes == largest for layer in layers):
        return layers
    if not rules.unifies_pages:
        raise UnsizedError("this release plans no cache for layers whose pages differ in size")
    return [replace(layer, spec=_as_large(layer.spec, largest, rules)) for layer in layers]


def _as_large(spec: CacheSpec, largest: int, rules: PlannerRules) -> CacheSpec:
    own = spec.page_bytes
    if own == largest:
        return spec
    is_state = spec.kind is CacheKind.STATE
    if is_state and rules.pads_states:
        return replace(spec, padded_bytes=largest)
    if largest % own == 0 and not is_state and spec.padded_bytes is None:
        return replace(spec, block_size=spec.block_size * (largest // own))
    if rules.pads_pages and spec.kind is not CacheKind.LATENT and not is_state:
        return replace(spec, padded_bytes=largest)
    raise UnsizedError("this release plans no cache for layers whose pages do not divide each other")


def _equal_groups(layers: Sequence[PlacedSpec], rules: PlannerRules) -> tuple[CacheGroup, ...]:
    """Groups of as many layers as the rarest kind has; where counts are close, as the most frequent one has.

    26 layers with windows and 5 full: groups of 5, six with windows (the last short of 4) and one full.
    13 and 12 (slack 1.5): one group of 13 and one of 12.
    """
    kinds: dict[CacheSpec, list[PlacedSpec]] = {}
    for layer in layers:
        kinds.setdefault(layer.spec, []).append(layer)
    counts = [len(members) for members in kinds.values()]
    size = max(counts) if max(counts) < min(counts) * rules.slack else min(counts)
    return tuple(group for members in kinds.values() for group in _shared_out(members, size, rules))


def _shared_out(members: Sequence[PlacedSpec], size: int, rules: PlannerRules) -> list[CacheGroup]:
    """One kind's layers in groups: in turn, so that every stage has its share; before 0.11 one after another."""
    count = -(-len(members) // size)
    if rules.groups_by_rank:
        return [CacheGroup(tuple(members[start : start + size])) for start in range(0, len(members), size)]
    return [CacheGroup(tuple(members[start::count])) for start in range(count)]
