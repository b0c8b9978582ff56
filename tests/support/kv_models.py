"""Models of the shapes that the tests of the KV cache are about."""

from collections.abc import Sequence

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.domain.model_card import ModelCard


def card_of(mixers: Sequence[Mixer], architecture: str = "AnyForCausalLM") -> ModelCard:
    return ModelCard(architecture, 4096, 32_000, False, tuple(Layer(mixer, None) for mixer in mixers), 16)


def full(kv_heads: int, head_dim: int, window: int | None = None) -> Attention:
    return Attention(32, kv_heads, head_dim, head_dim, window)


def compressed(ratio: int) -> CompressedAttention:
    """A layer of DeepSeek V4; ratio 4 has an indexer."""
    indexer = {4: Indexer(64, 128, 512)}.get(ratio)
    return CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, ratio, indexer)


LATENT = LatentAttention(128, 1536, 512, 128, 64, 128)
SPARSE = LatentAttention(128, 1536, 512, 128, 64, 128, indexer=Indexer(64, 128, 2048))
DELTA = LinearAttention(16, 32, 128, 128, 4)
MAMBA = Mamba(64, 64, 128, 8, 4)

LLAMA_8B = card_of([full(8, 128)] * 32)
QWEN3_8B = card_of([full(8, 128)] * 36)
GEMMA3_27B = card_of(([full(16, 128, 1024)] * 5 + [full(16, 128)]) * 10 + [full(16, 128, 1024)] * 2)
GEMMA4 = card_of(([full(16, 256, 1024)] * 5 + [full(4, 512)]) * 10)
GPT_OSS_20B = card_of([full(8, 64, 128), full(8, 64)] * 12, "GptOssForCausalLM")
QWEN3_NEXT = card_of(([DELTA] * 3 + [full(2, 256)]) * 12, "Qwen3NextForCausalLM")
DEEPSEEK_V3 = card_of([LATENT] * 61)
DEEPSEEK_V32 = card_of([SPARSE] * 61)
_INDEXED = Attention(64, 4, 128, 128, indexer=Indexer(4, 128, 16))
MINIMAX_M3 = card_of([full(4, 128)] * 3 + [_INDEXED] * 57, "MiniMaxM3SparseForConditionalGeneration")
KIMI_LINEAR = card_of(([LinearAttention(32, 32, 128, 128, 4, kind="kda")] * 3 + [LATENT]) * 6, "KimiLinearForCausalLM")
_V4 = "DeepseekV4ForCausalLM"
DEEPSEEK_V4_FLASH = card_of([compressed(1)] * 2 + [compressed(4), compressed(128)] * 20 + [compressed(4)], _V4)
DEEPSEEK_V4_PRO = card_of([compressed(128)] * 2 + [compressed(4), compressed(128)] * 29 + [compressed(4)], _V4)
