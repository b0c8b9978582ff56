"""How vLLM groups caches of several kinds and page sizes that lie side by side in one block (DeepSeek V4). Pure.

_get_packed_kv_cache_groups, vllm/v1/core/kv_cache_utils.py (0.29.0 to 0.32.0) and kv_cache_planning.py (0.33.0);
before, group_and_unify_kv_cache_specs and _get_kv_cache_groups_uniform_groups (0.20.2 to 0.28.0).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from inferplan.estimate.cache_spec import CacheKind, CacheSpec, UnsizedError
from inferplan.estimate.kv_groups import CacheGroup, PlacedSpec
from inferplan.estimate.kv_releases import Packing, PlannerRules

_Bucket = list[PlacedSpec]


def is_packed(layers: Iterable[PlacedSpec]) -> bool:
    """Whether the model's caches are packed: where some of them are compressed."""
    return any(layer.spec.kind is CacheKind.COMPRESSED for layer in layers)


def packed_groups(layers: Sequence[PlacedSpec], rules: PlannerRules) -> tuple[CacheGroup, ...]:
    """The groups: all compressed caches one, the others in as many as make groups of about its size.

    DeepSeek-V4-Flash, 21 layers of ratio 4, 20 of 128 and 2 with a window only: the compressed caches are one group,
    43 windows two (22 and 21), 21 states of ratio 4 one with those of their indexers, 20 of ratio 128 one.

    Raises:
        UnsizedError: This release's planner refuses such a model, or it is not sized.
    """
    if rules.packing is None:
        raise UnsizedError("compressed attention came with vLLM 0.20")
    buckets = _buckets(layers)
    if rules.packing in {Packing.TUPLES, Packing.SLOTS}:
        buckets = [buckets[0], *(_padded(bucket, buckets[0]) for bucket in buckets[1:])]
    splits = _by_repeats(buckets) if rules.packing is Packing.REPEATS else _by_first(buckets)
    return tuple(group for bucket, count in zip(buckets, splits, strict=True) for group in _split(bucket, count))


def packed_block_bytes(groups: Sequence[CacheGroup], stage: int, rules: PlannerRules) -> int:
    """Bytes of one block of the pool on a stage.

    V4-Flash: the widest group is 21 x (37,440 + 8,640) + 20 x 1,728 = 1,002,240. Slots: 22 x 37,440 for the windows
    + 20 x 1,728 + 21 x 8,640 = 1,039,680. Tuples: 22 x (37,440 + 1,728 + 8,640) = 1,051,776.
    """
    if rules.packing is Packing.TUPLES:
        return packed_request_bytes(groups, stage, rules)
    if rules.packing is Packing.SLOTS:
        slots: Counter[int] = Counter()
        for group in groups:
            slots |= _counts(layer for layer in group.layers if layer.stage == stage)
        return sum(size * count for size, count in slots.items())
    return max(group.bytes_on(stage) for group in groups)


def packed_request_bytes(groups: Sequence[CacheGroup], stage: int, rules: PlannerRules) -> int:
    """Bytes that the start-up check counts for each block of a request on a stage: of the block, before 0.29 of tuples.

    A tuple is one page of each size of the first group (_max_memory_usage_bytes_from_groups, 0.20.2 to 0.28.0), and
    counted are as many as the most frequent page of a group; a group without layers on the stage counts whole.
    """
    if rules.packing is Packing.REPEATS:
        return packed_block_bytes(groups, stage, rules)
    counts = [_counts([layer for layer in group.layers if layer.stage == stage] or group.layers) for group in groups]
    return sum(counts[0]) * max(max(count.values()) for count in counts)


def _buckets(layers: Iterable[PlacedSpec]) -> list[_Bucket]:
    """Layers that need the same number of blocks, the compressed ones first."""
    found: dict[tuple[bool, int, int | None], _Bucket] = {}
    for layer in layers:
        spec = layer.spec
        found.setdefault((spec.kind is not CacheKind.COMPRESSED, spec.block_size, spec.window), []).append(layer)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def _by_repeats(buckets: Sequence[_Bucket]) -> list[int]:
    """Groups per bucket from 0.29: only buckets with as many pages of each size are split."""
    counts = [_counts(bucket) for bucket in buckets]
    is_balanced = [len(set(count.values())) == 1 for count in counts]
    repeats = [max(count.values()) for count in counts]
    least = [
        repeat
        for repeat, count, balanced in zip(repeats, counts, is_balanced, strict=True)
        if balanced and len(count) > 1
    ]
    if not least:
        raise UnsizedError("compressed attention without layers that have an indexer is not sized")
    size = nearest_divisor([repeat for repeat, alike in zip(repeats, is_balanced, strict=True) if alike], max(least))
    return [-(-repeat // size) if alike else 1 for repeat, alike in zip(repeats, is_balanced, strict=True)]


def _by_first(buckets: Sequence[_Bucket]) -> list[int]:
    """Groups per bucket to 0.28: the first bucket is one group, the others are split down toward its size."""
    counts = [_counts(bucket) for bucket in buckets]
    if any(len(set(count.values())) > 1 for count in counts[1:]):
        raise UnsizedError("this release plans no cache for states of several sizes in unequal numbers")
    repeats = [max(count.values()) for count in counts]
    size = nearest_divisor(repeats, repeats[0])
    return [1, *(-(-repeat // size) for repeat in repeats[1:])]


def nearest_divisor(values: Sequence[int], least: int) -> int:
    """The size of at least `least` that rounds the values up by the fewest in sum, of equal ones the largest.

    _approximate_gcd (0.20.2 to 0.33.0). 43, 21 and 20 in sizes of at least 21: 22 rounds up by 1 + 1 + 2 = 4.
    """
    return min(range(least, max(least, *values) + 1), key=lambda size: (sum(-value % size for value in values), -size))


def _split(bucket: _Bucket, count: int) -> list[CacheGroup]:
    """A bucket in groups, one page of each size after the other, so that every stage has its share of each group."""
    if count == 1:
        return [CacheGroup(tuple(bucket), is_mixed=True)]
    by_size: dict[int, _Bucket] = {}
    for layer in bucket:
        by_size.setdefault(layer.spec.page_bytes, []).append(layer)
    patterns = list(zip(*by_size.values(), strict=True))
    return [
        CacheGroup(tuple(layer for pattern in patterns[start::count] for layer in pattern), is_mixed=True)
        for start in range(count)
    ]


def _padded(bucket: _Bucket, first: _Bucket) -> _Bucket:
    """Pages made as large as the next one of the first bucket (0.20.2 to 0.26.0): 32,832 bytes become 37,440."""
    sizes = sorted(_counts(first))
    return [replace(layer, spec=replace(layer.spec, padded_bytes=_next(layer.spec, sizes))) for layer in bucket]


def _next(spec: CacheSpec, sizes: Sequence[int]) -> int:
    found = next((size for size in sizes if size >= spec.page_bytes), None)
    if found is None:
        raise UnsizedError("this release plans no cache for states larger than the compressed attention's pages")
    return found


def _counts(layers: Iterable[PlacedSpec]) -> Counter[int]:
    """Page size → layers with it."""
    return Counter(layer.spec.page_bytes for layer in layers)
