"""What an engine's KV cache depends on, beside the model and the memory left for it. Pure data."""

from dataclasses import dataclass
from enum import StrEnum

from inferplan.domain.architecture import Layer
from inferplan.estimate.release import Release


class StateMode(StrEnum):
    """What prefix caching keeps of a recurrent state (--mamba-cache-mode): nothing, block ends, or every block."""

    NONE = "none"
    ALIGN = "align"
    ALL = "all"


@dataclass(frozen=True)
class StateSettings:
    """How recurrent states are kept.

    Attributes:
        mode: What prefix caching keeps of them.
        conv_bits: Bits of a value that the causal convolution keeps.
        state_bits: Bits of a value of the state; None: as each layer's config asks, else as the engine does.
        speculative_tokens: Tokens that are speculated at once, 0 without speculation.
        checkpoints: Whether a prefill writes a state of its own into a page more (align mode from 0.32).
        alignment: Tokens that blocks are a multiple of beside the kernel's (GDN's prefill in align mode, 0.33: 64).
        chunk: Tokens of a Mamba-2 chunk, or --mamba-block-size; needed in mode all, None where it is not known.
    """

    mode: StateMode = StateMode.NONE
    conv_bits: int = 16
    state_bits: int | None = None
    speculative_tokens: int = 0
    checkpoints: bool = False
    alignment: int = 1
    chunk: int | None = None


@dataclass(frozen=True)
class CacheSettings:
    """The settings that vLLM's planner sees, with every default filled in.

    Attributes:
        release: vLLM's version.
        kv_format: --kv-cache-dtype as it resolves: never auto.
        model_format: bfloat16, float16 or float32, the format that layers without a cache format of their own keep.
        block_size: Tokens per block before hybrid models raise it.
        tensor_parallel: Ranks that share heads.
        pipeline_parallel: Stages that share layers.
        context_parallel: Ranks that share one request's tokens (--decode-context-parallel-size).
        concurrent_batches: Batches in flight: 2 with async scheduling.
        hybrid_manager: Whether layers of different kinds get groups of their own.
        states: How recurrent states are kept.
        drafts: Layers that speculation adds to the cache, on the last stage.
        window_tokens: Tokens that windows keep beside their own, for drafts of several modules.
        kernel_block: Tokens that a hybrid model's blocks are a multiple of.
        narrow_index: Whether DeepSeek V4's indexer keeps its keys in MXFP4 (--attention-config.indexer_kv_dtype).
        blocks_override: --num-gpu-blocks-override.
        is_v0: Whether the first engine core runs.
        assumptions: What was assumed; each a sentence.
    """

    release: Release
    kv_format: str = "bfloat16"
    model_format: str = "bfloat16"
    block_size: int = 16
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    context_parallel: int = 1
    concurrent_batches: int = 1
    hybrid_manager: bool = True
    states: StateSettings = StateSettings()
    drafts: tuple[Layer, ...] = ()
    window_tokens: int = 0
    kernel_block: int = 16
    narrow_index: bool = False
    blocks_override: int | None = None
    is_v0: bool = False
    assumptions: tuple[str, ...] = ()
