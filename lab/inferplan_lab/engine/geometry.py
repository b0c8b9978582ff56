"""The shape of a served model, read from its Hugging Face config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORD_BYTES = {"float32": 4.0, "float": 4.0}
"""Bytes of one weight of an unquantized checkpoint; every other dtype takes two."""
QUANTIZED_BYTES = (
    ("4bit", 0.56),  # half a byte and its group scales (16 bits for 128 weights, zero points)
    ("awq", 0.56),
    ("gptq", 0.56),
    ("bitsandbytes", 0.56),
    ("mxfp4", 0.53),
    ("fp4", 0.56),
    ("fp8", 1.0),
    ("int8", 1.0),
    ("compressed-tensors", 1.0),
)
"""Bytes of one weight by quantization method; the first name that occurs in the method counts."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture-of-experts part of a layer.

    Attributes:
        count: routed experts in a layer.
        active: routed experts that one token uses.
        intermediate: the width of one expert's hidden layer.
        shared: experts that every token uses.
    """

    count: int
    active: int
    intermediate: int
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the simulator needs to know of a model. Sizes in elements.

    Attributes:
        layers: transformer layers.
        hidden: width of the residual stream.
        heads: query heads.
        kv_heads: key and value heads.
        head_size: width of one head.
        intermediate: width of the dense feed-forward layer.
        vocabulary: tokens in the vocabulary.
        max_length_tokens: the longest request by the model's own config.
        tied: the output layer is the embedding.
        weight_bytes_each: bytes of one weight in the layers; embeddings are never below 16 bits.
        latent: width of one token's compressed key-value vector (MLA), 0 without MLA.
        experts: None for a dense model.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    max_length_tokens: int
    tied: bool = False
    weight_bytes_each: float = 2.0
    latent: int = 0
    experts: Experts | None = None

    def parameters(self, *, active: bool = False) -> int:
        """Weights of the model.

        Args:
            active: count only those that one token uses.

        Returns:
            The number of weights: embeddings, attention and feed-forward matrices; norms and biases are left
            out.
        """
        attention = self.hidden * self.head_size * 2 * (self.heads + self.kv_heads)
        feed_forward = 3 * self.hidden * self.intermediate
        if self.experts:
            used = (self.experts.active if active else self.experts.count) + self.experts.shared
            feed_forward = 3 * self.hidden * self.experts.intermediate * used
        embeddings = self.vocabulary * self.hidden * (1 if self.tied or active else 2)
        return self.layers * (attention + feed_forward) + embeddings

    def weight_bytes(self, *, active: bool = False) -> float:
        """Bytes of the weights.

        Args:
            active: count only those that one token uses.

        Returns:
            Bytes on all GPUs together. Quantization leaves the embeddings at 16 bits: so an 8B model in 4
            bits comes out at the 5.60 GiB, and a 70B model in FP8 at the 67.7 GiB, that start-up logs tell.
        """
        embeddings = self.vocabulary * self.hidden * (1 if self.tied or active else 2)
        layers = self.parameters(active=active) - embeddings
        return layers * self.weight_bytes_each + embeddings * max(2.0, self.weight_bytes_each)

    @property
    def widest_activation(self) -> int:
        """Elements that one token needs at the widest point of a layer."""
        width = self.experts.intermediate * self.experts.active if self.experts else self.intermediate
        return 2 * width + 4 * self.hidden


LLAMA_3_1_8B = Geometry(32, 4096, 32, 8, 128, 14336, 128256, 131072)
BUILT_IN = {
    "meta-llama/llama-3.1-8b-instruct": LLAMA_3_1_8B,
    "meta-llama/llama-3.1-70b-instruct": Geometry(80, 8192, 64, 8, 128, 28672, 128256, 131072),
    "qwen/qwen3-0.6b": Geometry(28, 1024, 16, 8, 128, 3072, 151936, 40960, tied=True),
    "qwen/qwen3-8b": Geometry(36, 4096, 32, 8, 128, 12288, 151936, 40960),
    "qwen/qwen3-32b": Geometry(64, 5120, 64, 8, 128, 25600, 151936, 40960),
}
"""Models that need no config.json: sizes are facts of the published configs. Keys are lower case."""


def weight_bytes_of(config: Mapping[str, Any], method: str | None) -> float:
    """Bytes of one weight.

    Args:
        config: the model's config.json, or its text part.
        method: the flag --quantization, which quantizes a plain checkpoint at load, or None.

    Returns:
        From the checkpoint's own quantization, else from the flag, else from the checkpoint's dtype.
    """
    stored = config.get("quantization_config") or {}
    name = str(stored.get("quant_method", "")) + ("4bit" if stored.get("bits") == 4 else "")  # noqa: PLR2004 - bits
    name = name or method or ""
    dtype = str(config.get("torch_dtype") or config.get("dtype"))
    return next((size for key, size in QUANTIZED_BYTES if key in name), WORD_BYTES.get(dtype, 2.0))


def _max_length(config: Mapping[str, Any]) -> int:
    """The longest request: the config's positions, stretched where its rope scaling says so."""
    positions = int(config.get("max_position_embeddings", 2048))
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "yarn":
        return int(scaling.get("original_max_position_embeddings", positions) * scaling["factor"])
    return int(positions * scaling["factor"]) if kind in {"linear", "dynamic"} else positions


def _experts(config: Mapping[str, Any]) -> Experts | None:
    """The experts of a config, under the names that model families use."""
    count = next(
        (config[key] for key in ("num_experts", "n_routed_experts", "num_local_experts") if config.get(key)),
        0,
    )
    if not count:
        return None
    intermediate = config.get("moe_intermediate_size") or config["intermediate_size"]
    shared = int(config.get("n_shared_experts") or 0)
    return Experts(int(count), int(config.get("num_experts_per_tok") or 1), int(intermediate), shared)


def geometry_of(config: Mapping[str, Any], method: str | None = None) -> Geometry:
    """Read a config.json.

    Args:
        config: its content; a multimodal model's ``text_config`` is used.
        method: the flag --quantization, or None.

    Returns:
        The model's shape. Sliding-window and state-space layers are taken for full attention.

    Raises:
        KeyError: a size is missing.
    """
    text: Mapping[str, Any] = {**config, **(config.get("text_config") or {})}
    heads = int(text["num_attention_heads"])
    latent = int(text.get("kv_lora_rank") or 0)
    return Geometry(
        layers=int(text["num_hidden_layers"]),
        hidden=int(text["hidden_size"]),
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
        head_size=int(text.get("head_dim") or text["hidden_size"] // heads),
        intermediate=int(text.get("intermediate_size") or 4 * text["hidden_size"]),
        vocabulary=int(text["vocab_size"]),
        max_length_tokens=_max_length(text),
        tied=bool(text.get("tie_word_embeddings", False)),
        weight_bytes_each=weight_bytes_of(text, method),
        latent=latent + int(text.get("qk_rope_head_dim") or 0) if latent else 0,
        experts=_experts(text),
    )
