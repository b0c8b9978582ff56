"""Model configs of several families, and what tests ask of their cards."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import Attention, CompressedAttention, LatentAttention, Layer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config

GPT_OSS: Mapping[str, Any] = {
    # the fields of openai/gpt-oss-20b's config.json that decide sizes
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "head_dim": 64,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "max_position_embeddings": 131_072,
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "sliding_window": 128,
    "tie_word_embeddings": False,
    "vocab_size": 201_088,
}


BASE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 32_000,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
DEEPSEEK = {
    "q_lora_rank": None,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}
QWEN_MOE = {"num_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 768}


def config(architecture: str, **changes: Any) -> dict[str, Any]:
    """A decoder of six layers, with changes."""
    return {"architectures": [architecture], **BASE, **changes}


def card_of(config: Mapping[str, Any]) -> ModelCard:
    """The card, which must be there."""
    card = read_model_config(config)
    assert isinstance(card, ModelCard), card
    return card


def refusal_of(config: Mapping[str, Any]) -> str:
    """Why there is no card."""
    card = read_model_config(config)
    assert isinstance(card, Missing), card
    assert card.code is Reason.MODEL_UNSUPPORTED
    return card.reason


def kinds(card: ModelCard) -> dict[str, int]:
    """How many layers there are of each kind of mixer, told in words."""
    return dict(Counter(map(_kind, card.layers)))


def _kind(layer: Layer) -> str:
    mixer = layer.mixer
    if mixer is None:
        return "none"
    told = {
        f"window={getattr(mixer, 'window', None)}": isinstance(mixer, Attention) and mixer.window is not None,
        f"chunk={getattr(mixer, 'chunk', None)}": isinstance(mixer, Attention) and mixer.chunk is not None,
        "keys=values": isinstance(mixer, Attention) and mixer.keys_are_values,
        "shared": isinstance(mixer, Attention) and mixer.shares_kv,
        "gate": isinstance(mixer, Attention | LatentAttention) and mixer.output_gate,
        _indexer(mixer): _indexer(mixer) != "",
    }
    marks = ", ".join(mark for mark, holds in told.items() if holds)
    name = f"Compressed {mixer.compress_ratio}" if isinstance(mixer, CompressedAttention) else type(mixer).__name__
    return f"{name}({marks})" if marks else name


def _indexer(mixer: object) -> str:
    if not isinstance(mixer, Attention | LatentAttention | CompressedAttention) or mixer.indexer is None:
        return ""
    return "shared indexer" if mixer.indexer.shared else "indexer"
