"""Parts of decoder layers that most families share: attention by heads, windows, MLPs and experts.

Names of fields and their meaning follow the configuration classes of transformers 5.19 and what vLLM 0.33.0 reads of
them (vllm/model_executor/models/).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inferplan.domain.architecture import Attention, DenseMLP, FeedForward, Layer, Mixer, MixtureOfExperts
from inferplan.domain.model_reading.fields import Fields, short

LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HEAD_KEYS = ("num_attention_heads", "n_head", "num_heads", "n_heads")
KV_HEAD_KEYS = ("num_key_value_heads", "num_kv_heads", "num_attention_groups", "multi_query_group_num")
HIDDEN_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed")
WIDTH_KEYS = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
TOP_K_KEYS = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
)
EXPERT_WIDTH_KEYS = ("moe_intermediate_size", "expert_intermediate_size")
MTP_KEYS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
CUT_AT = 64
"""Length of lists that were shortened by tools which print configs."""

Windows = tuple[int | None, ...]


def hidden_size(config: Fields) -> int:
    """Width of the residual stream."""
    return config.count(*HIDDEN_KEYS)


def attention(config: Fields, *, bias: bool = False) -> Attention:
    """Attention by heads. Llama-3.1-8B: 32 heads, 8 KV heads of 4096 / 32 = 128.

    Raises:
        ValueError: Fields are missing or contradict each other.
    """
    heads = config.count(*HEAD_KEYS)
    kv_key = config.first(*KV_HEAD_KEYS)
    kv_heads = config.count(kv_key, default=heads)
    if heads % kv_heads:
        raise ValueError(f"{config.first(*HEAD_KEYS)} {heads} is no multiple of {kv_key} {kv_heads}")
    width = head_dim(config, heads)
    return Attention(heads, kv_heads, width, width, bias=bias or has_bias(config))


def head_dim(config: Fields, heads: int) -> int:
    """Width of a head: stated, else an equal share of the hidden size.

    Raises:
        ValueError: It is not stated, and the hidden size is no multiple of the heads.
    """
    stated = config.optional("head_dim", "attention_head_dim", "kv_channels")
    if stated is not None:
        return stated
    hidden = hidden_size(config)
    if hidden % heads:
        raise ValueError(
            f"hidden_size {hidden} is no multiple of num_attention_heads {heads}, and head_dim is not given"
        )
    return hidden // heads


def has_bias(config: Fields) -> bool:
    """Whether q, k and v have biases."""
    return any(config.values.get(key) is True for key in ("attention_bias", "qkv_bias", "add_qkv_bias"))


def full(_config: Fields, layers: int) -> Windows:
    """Full attention everywhere, whatever a window that nothing reads may say."""
    return (None,) * layers


def by_layer_types(config: Fields, layers: int) -> Windows | None:
    """Windows as layer_types lists them, None without the list."""
    kinds = by_layer(config, "layer_types", layers)
    if kinds is None:
        return None
    return tuple(_window_of(config, kind) for kind in kinds)


def _window_of(config: Fields, kind: object) -> int | None:
    if kind == "full_attention":
        return None
    if kind == "sliding_attention":
        return config.count("sliding_window", "sliding_window_size")
    raise ValueError(f"layer_types names {short(kind)}, which is not sized here")


def everywhere(config: Fields, layers: int) -> Windows:
    """A window that is stated holds for all layers (Mistral 7B v0.1, Phi-3: vllm/attention/layer.py, 0.33.0)."""
    listed = by_layer_types(config, layers)
    return listed if listed is not None else (config.optional("sliding_window"),) * layers


def when_asked(config: Fields, layers: int) -> Windows:
    """Qwen's: use_sliding_window (off unless stated) gives layers from max_window_layers on a window."""
    if not config.flag("use_sliding_window") or not config.has("sliding_window"):
        return (None,) * layers
    listed = by_layer_types(config, layers)
    if listed is not None:
        return listed
    first = config.count("max_window_layers", default=layers, least=0)
    return tuple(config.count("sliding_window") if index >= first else None for index in range(layers))


def every(period: int, default: int | None = None) -> Callable[[Fields, int], Windows]:
    """One full layer, the last of each `period`, among layers with a window; sliding_window_pattern may say another.

    Args:
        period: Layers of the pattern. Gemma 3: 6, five with a window and one without.
        default: The window where the config states none.
    """

    def windows(config: Fields, layers: int) -> Windows:
        listed = by_layer_types(config, layers)
        if listed is not None:
            return listed
        window = config.count("sliding_window", default=default) if default else config.optional("sliding_window")
        each = config.count("sliding_window_pattern", "_sliding_window_pattern", default=period)
        return tuple(window if (index + 1) % each else None for index in range(layers))

    return windows


def by_layer(config: Fields, key: str, layers: int) -> list[Any] | None:
    """A list with an entry for each layer; entries for multi-token-prediction layers behind them are left out.

    Raises:
        ValueError: Its length is another.
    """
    values = config.entries(key)
    if values is None:
        return None
    more = config.count(*MTP_KEYS, default=0, least=0)
    if layers <= len(values) <= layers + more:
        return values[:layers]
    cut = ", it was cut" if len(values) == CUT_AT else ""
    raise ValueError(f"{config.place}{key} has {len(values)} entries for num_hidden_layers {layers}{cut}")


@dataclass(frozen=True)
class Experts:
    """How a family names what is special of its experts.

    Attributes:
        widths: Fields that hold the width of one expert, the first that is there counts.
        shared: Width of the shared experts together.
        sparse: Which layers have experts.
        dense_widths: Fields that hold the width of layers without experts.
        gated: Three matrices per expert, else two.
    """

    widths: tuple[str, ...] = EXPERT_WIDTH_KEYS
    shared: "Callable[[Fields, int], int] | None" = None
    sparse: "Callable[[Fields, int], Sequence[bool]] | None" = None
    dense_widths: tuple[str, ...] = WIDTH_KEYS
    gated: bool = True

    def read(self, config: Fields) -> MixtureOfExperts:
        """The experts of one layer.

        Raises:
            ValueError: Fields are missing or contradict each other.
        """
        experts, width = config.count(*EXPERT_KEYS), config.count(*self.widths)
        top_k = config.count(*TOP_K_KEYS)
        if top_k > experts:
            raise ValueError(f"{config.first(*TOP_K_KEYS)} {top_k} is more than the {experts} experts")
        shared = (self.shared or shared_width)(config, width)
        latent = config.optional("moe_latent_size", "routed_expert_hidden_size")
        return MixtureOfExperts(experts, top_k, width, shared, self.gated, latent)

    def parts(self, config: Fields, layers: int) -> list[FeedForward]:
        """The feed-forward part of each layer."""
        flags = (self.sparse or sparse_layers)(config, layers)
        moe = self.read(config) if any(flags) else None
        dense = None if all(flags) else DenseMLP(config.count(*self.dense_widths))
        parts = (moe if flag else dense for flag in flags)
        return [part for part in parts if part is not None]


def has_experts(config: Fields) -> bool:
    """Whether the config names experts; 0 and 1 mean none."""
    value = config.values.get(config.first(*EXPERT_KEYS))
    return isinstance(value, bool) or (value is not None and value not in (0, 1))


def shared_width(config: Fields, width: int) -> int:
    """Width of the shared experts: stated as a whole, else their number times the width of one expert.

    Qwen3.5-35B: 512 as stated. DeepSeek-V3: 1 x 2048.
    """
    stated = ("shared_expert_intermediate_size", "share_expert_dim", "shared_intermediate_size")
    if any(config.has(key) for key in stated):
        return config.count(*stated, least=0)
    return width * config.count("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=0, least=0)


def sparse_layers(config: Fields, layers: int) -> list[bool]:
    """Which layers have experts: by list, from a first layer on, or every so many.

    DeepSeek-V3: first_k_dense_replace 3 of 61. Qwen3-30B: decoder_sparse_step 1, all of 48.
    """
    listed = (
        by_layer(config, "moe_layer_freq", layers) if isinstance(config.values.get("moe_layer_freq"), list) else None
    )
    if listed is not None:
        return [_is_one(config, "moe_layer_freq", flag) for flag in listed]
    first = config.count("first_k_dense_replace", default=0, least=0)
    step = config.count("moe_layer_freq", default=1)
    sparse_step = config.count("decoder_sparse_step", default=1)
    dense = {short(index) for index in config.entries("mlp_only_layers") or ()}
    return [
        index >= first and index % step == 0 and (index + 1) % sparse_step == 0 and short(index) not in dense
        for index in range(layers)
    ]


def _is_one(config: Fields, key: str, flag: object) -> bool:
    if flag not in (0, 1):
        raise ValueError(f"{config.place}{key} must hold 0 and 1, not {short(flag)}")
    return flag == 1


@dataclass(frozen=True)
class Decoder:
    """A family of decoders whose layers are attention by heads with an MLP or experts.

    Attributes:
        windows: Which layers have a sliding window.
        bias: q, k and v always have biases.
        gated: The dense MLP has three matrices, else two.
        experts: How experts are named, in families that have them; None for families without.
        width: Width of the dense MLP where the config states none, in hidden sizes.
    """

    windows: Callable[[Fields, int], Windows] = full
    bias: bool = False
    gated: bool = True
    experts: Experts | None = None
    width: int | None = None

    def layers(self, config: Fields) -> tuple[Layer, ...]:
        """All layers in order.

        Raises:
            ValueError: Fields are missing or contradict each other.
        """
        count = config.layers(*LAYER_KEYS)
        base = attention(config, bias=self.bias)
        mixers = [replace(base, window=window) for window in self.windows(config, count)]
        return joined(mixers, self.parts(config, count))

    def parts(self, config: Fields, count: int) -> Sequence[FeedForward]:
        """The feed-forward part of each layer."""
        if self.experts is not None:
            return self.experts.parts(config, count)
        if has_experts(config):
            raise ValueError(
                f"{config.place}{config.first(*EXPERT_KEYS)} names experts, which this architecture has not"
            )
        default = self.width * hidden_size(config) if self.width else None
        return [DenseMLP(config.count(*WIDTH_KEYS, default=default), self.gated)] * count


def joined(mixers: Iterable[Mixer | None], parts: Iterable[FeedForward | None]) -> tuple[Layer, ...]:
    """Layers of mixers and feed-forward parts, equal ones as one object."""
    known: dict[Layer, Layer] = {}
    found = (Layer(mixer, part) for mixer, part in zip(mixers, parts, strict=True))
    return tuple(known.setdefault(layer, layer) for layer in found)
