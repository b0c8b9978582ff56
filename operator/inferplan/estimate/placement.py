"""Where weights lie: the ranks' shares, the pipeline's stages, kernels' padding, and the allocator's rounding."""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention, CompressedAttention, LatentAttention
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.tensors import Sharding, Tensor

VOCABULARY_PADDING = 64
"""DEFAULT_VOCAB_PADDING_SIZE, vllm/model_executor/layers/vocab_parallel_embedding.py (0.6.6 to 0.33.0)."""

_DEGREES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "expert_parallel_size")
_MOST_RANKS = 4096
_NEWEST = (1 << 20,)
_SMALL = 1 << 20
_LARGE = 10 << 20
_ROUNDING = 2 << 20
_SMALLEST = 512


class Remainder(StrEnum):
    """Stages that take the layers that do not divide.

    get_pp_indices: vLLM to 0.7 and SGLang to 0.5.7 give all to the last stage, later vLLM one each to those before the
    last, from behind (vllm/distributed/utils.py, 0.6.6 to 0.33.0), and SGLang one each to the last ones
    (srt/distributed/utils.py, 0.4.6 to 0.5.23).
    """

    ALL_LAST = "allLast"
    BEFORE_LAST = "beforeLast"
    LAST_ONES = "lastOnes"


@dataclass(frozen=True)
class Layout:
    """How ranks share one model.

    Attributes:
        tensor: Ranks that share attention, dense MLPs and vocabulary.
        pipeline: Stages.
        expert_groups: Groups of ranks with whole experts of their own (expert parallelism), 1 without.
        expert_shards: Ranks that share each expert's matrices.
        capability: Compute capability times 10; None for another vendor, and where it is not known.
        remainder: Where layers go that do not divide among the stages.
        towers: Ranks that share vision and audio towers; 0 where they are not loaded.
        speculation: Whether multi-token-prediction layers are loaded.
        blackwell_step: Multiple that SM100's MXFP4 kernels pad intermediate sizes to.
    """

    tensor: int = 1
    pipeline: int = 1
    expert_groups: int = 1
    expert_shards: int = 1
    capability: int | None = None
    remainder: Remainder = Remainder.BEFORE_LAST
    towers: int = 1
    speculation: bool = False
    blackwell_step: int = 128


@dataclass(frozen=True)
class Shape:
    """A rank's share of a tensor: `copies` matrices of `outputs` x `inputs`."""

    copies: int
    outputs: int
    inputs: int

    @property
    def values(self) -> int:
        """Numbers in all of it."""
        return self.copies * self.outputs * self.inputs


def layout_of(config: ServingConfig, capability: int | None) -> Layout | Missing:
    """How the configured ranks share a model; degrees that are not set count as 1.

    vLLM shares experts among all ranks of TP x DP, as whole experts with enable_expert_parallel
    (fused_moe/config.py FusedMoEParallelConfig.make, 0.9.2 to 0.33.0). SGLang's ep_size splits its tp_size, and with
    enable_dp_attention attention has tp_size / dp_size ranks (sglang 0.5.23, layers/dp_attention.py).

    Args:
        config: Engine and settings.
        capability: Compute capability of the GPUs times 10, None where there is none.
    """
    degrees = {key: config.integer(key) for key in _DEGREES}
    wrong = next((key for key, value in degrees.items() if value is not None and not 1 <= value <= _MOST_RANKS), None)
    if wrong is not None:
        return Missing(Reason.SETTING_UNKNOWN, f"{wrong} must be from 1 to {_MOST_RANKS}, not {degrees[wrong]}")
    tensor, pipeline, data, experts = (degrees[key] or 1 for key in _DEGREES)
    if config.engine is Engine.VLLM:
        ranks = tensor * data
        groups = ranks if config.flag("enable_expert_parallel") else 1
    else:
        ranks, groups = tensor, min(experts, tensor)
        tensor = max(1, tensor // data) if config.flag("enable_dp_attention") else tensor
    return Layout(
        tensor=tensor,
        pipeline=pipeline,
        expert_groups=groups,
        expert_shards=max(1, ranks // groups),
        capability=capability,
        remainder=_remainder(config),
        towers=_tower_ranks(config, tensor),
        speculation="mtp" in (config.text("speculative_config") or "").lower(),
        blackwell_step=256 if _is_before(config, (0, 27, 0)) else 128,
    )


def layout_for(config: ServingConfig, capability: int | None, card: ModelCard) -> Layout | Missing:
    """The layout, if the ranks can share the model's heads.

    vllm/config/model.py, verify_with_parallel_config (0.6.6 to 0.33.0), and SGLang's layers assert the same: 32 heads
    do not divide among 3 ranks.
    """
    layout = layout_of(config, capability)
    if isinstance(layout, Missing):
        return layout
    mixers = [layer.mixer for layer in card.layer_counts]
    heads = [mixer.heads for mixer in mixers if isinstance(mixer, Attention | LatentAttention | CompressedAttention)]
    odd = next((count for count in heads if count % layout.tensor), None)
    if odd is None:
        return layout
    why = f"the engine refuses tensor_parallel_size {layout.tensor}: it does not divide the {odd} attention heads"
    return Missing(Reason.ENGINE_REFUSES, why)


def _remainder(config: ServingConfig) -> Remainder:
    if config.engine is Engine.VLLM:
        return Remainder.ALL_LAST if _is_before(config, (0, 8, 0)) else Remainder.BEFORE_LAST
    old = config.engine is Engine.SGLANG and _release(config) < (0, 5, 8)
    return Remainder.ALL_LAST if old else Remainder.LAST_ONES


def _is_before(config: ServingConfig, release: tuple[int, int, int]) -> bool:
    """Whether this is vLLM, and known to be older."""
    return config.engine is Engine.VLLM and _release(config) < release


def _release(config: ServingConfig) -> tuple[int, ...]:
    """Major, minor and patch; far in the future where no version is known."""
    found = re.match(r"\D*(\d+)\.(\d+)(?:\.(\d+))?", config.version or "")
    return tuple(int(part or 0) for part in found.groups()) if found else _NEWEST


def _tower_ranks(config: ServingConfig, tensor: int) -> int:
    """Encoders are shared by heads, unless they run on different inputs; language_model_only leaves them out."""
    if config.flag("language_model_only"):
        return 0
    return 1 if config.text("mm_encoder_tp_mode") == "data" else tensor


def share(tensor: Tensor, layout: Layout) -> Shape:
    """One rank's share.

    Key/value heads below the number of ranks are repeated (QKVParallelLinear, vllm/model_executor/layers/linear.py).
    Llama-3.1-8B's qkv, TP 16: 4096 / 16 + 1 head x 256 = 512 rows.
    """
    outputs, inputs, copies = tensor.outputs, tensor.inputs, tensor.copies
    match tensor.sharding:
        case Sharding.COLUMN:
            outputs = ceil(outputs / layout.tensor)
        case Sharding.ROW:
            inputs = ceil(inputs / layout.tensor)
        case Sharding.EXPERT_COLUMN:
            outputs, copies = ceil(outputs / layout.expert_shards), ceil(copies / layout.expert_groups)
        case Sharding.EXPERT_ROW:
            inputs, copies = ceil(inputs / layout.expert_shards), ceil(copies / layout.expert_groups)
        case Sharding.VOCABULARY:
            outputs = ceil(round_up(outputs, VOCABULARY_PADDING) / layout.tensor)
        case Sharding.REPLICATED:
            pass
    return Shape(copies, outputs + ceil(tensor.kv_heads / layout.tensor) * tensor.kv_width, inputs)


def stages(layers: int, layout: Layout) -> tuple[tuple[int, int], ...]:
    """First and behind-last layer of each stage.

    61 layers in 4 stages: 15, 15, 16, 15 with vLLM, 15, 15, 15, 16 with SGLang.
    """
    count, rest = divmod(layers, layout.pipeline)
    sizes = [count] * layout.pipeline
    if layout.remainder is Remainder.ALL_LAST:
        sizes[-1] += rest
    else:
        behind = 2 if layout.remainder is Remainder.BEFORE_LAST else 1
        for position in range(behind, rest + behind):
            sizes[-position] += 1
    ends = [sum(sizes[: index + 1]) for index in range(layout.pipeline)]
    return tuple((end - size, end) for end, size in zip(ends, sizes, strict=True))


def padded_mxfp4(shape: Shape, layout: Layout, sharding: Sharding) -> Shape:
    """An MXFP4 expert as the kernel wants it.

    vLLM's mxfp4.py (0.10.2 to 0.18.1), fused_moe/oracle/mxfp4.py (0.20.2 to 0.33.0): Marlin pads the intermediate
    size to 128 and the hidden size to 256, FlashInfer's TRT-LLM kernels (SM100) both to 256, since 0.27.1 the
    intermediate size to 128. Triton on Hopper pads the inputs of either matrix to 256: gpt-oss-20b's 13.47 GiB on an
    H100 (kv_capacity_cases kv-llmd-01) are those of 3072 instead of 2880. gpt-oss-20b, TP 1, Marlin: 2880 becomes 2944
    and 3072.
    """
    hopper, blackwell = layout.capability == 90, layout.capability in {100, 103}  # noqa: PLR2004  compute capabilities
    wide = sharding is Sharding.EXPERT_COLUMN
    if hopper:
        return Shape(shape.copies, shape.outputs, round_up(shape.inputs, 256))
    inner = layout.blackwell_step if blackwell else 128
    if wide:
        return Shape(shape.copies, 2 * round_up(ceil(shape.outputs / 2), inner), round_up(shape.inputs, 256))
    return Shape(shape.copies, round_up(shape.outputs, 256), round_up(shape.inputs, inner))


def allocated(size_bytes: int) -> int:
    """Bytes that torch's caching allocator counts for one tensor.

    c10/cuda/CUDACachingAllocator.cpp (torch 2.4 to 2.9): up to 1 MiB in steps of 512 bytes; from 10 MiB on a block of
    whole 2 MiB, whose rest is given back only if it is larger than 1 MiB. That is the difference between parameters
    and "Model loading took" in public logs: Qwen2-7B has 2 MiB in each of 28 layers, 14.19 GiB become 14.25.
    33,030,144 bytes (31.5 MiB): 32 MiB.
    """
    if size_bytes < _LARGE:
        return round_up(size_bytes, _SMALLEST)
    rest = -size_bytes % _ROUNDING
    return size_bytes + (rest if rest <= _SMALL else 0)


def round_up(value: int, step: int) -> int:
    """The next multiple of `step`: 720 in steps of 128 is 768."""
    return -(-value // step) * step
