"""What a decoder layer is made of: a mixer that looks at other tokens, and a feed-forward part. Pure data.

Shapes are those of the published checkpoint, before any tensor parallelism. Names follow Hugging Face's config.json.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Indexer:
    """Sparse attention's lightning indexer: a small cache of keys of its own, and the tokens that it lets through.

    Attributes:
        heads: Query heads.
        head_dim: Width of a query head, and of the one key per token (and compressed token) that it caches.
        top_k: Tokens that it lets through.
        shared: The layer takes over an earlier layer's choice and has neither weights nor cache of its own (GLM-5.2).
    """

    heads: int
    head_dim: int
    top_k: int
    shared: bool = False


@dataclass(frozen=True)
class Attention:
    """Softmax attention with a cache of keys and values (MHA, GQA, MQA).

    Attributes:
        heads: Query heads.
        kv_heads: Key/value heads.
        head_dim: Width of a query and key head.
        v_head_dim: Width of a value head.
        window: Tokens that a sliding window covers; None where all are seen.
        chunk: Tokens of a chunk, where attention stays within its chunk (Llama 4); None elsewhere.
        output_gate: The query projection is twice as wide and half of it gates the output (Qwen3-Next, Qwen3.5).
        bias: Biases on q, k and v.
        shares_kv: It reads the cache of an earlier layer and has no key/value projections of its own (Gemma 3n).
        keys_are_values: The checkpoint has no value projection; the cache still holds both (Gemma 4,
            attention_k_eq_v). vLLM loads the keys' projection a second time as the values'.
        indexer: Which blocks of the cache are looked at, None where all are (MiniMax M3).
    """

    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    window: int | None = None
    chunk: int | None = None
    output_gate: bool = False
    bias: bool = False
    shares_kv: bool = False
    keys_are_values: bool = False
    indexer: Indexer | None = None


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (MLA): one compressed key/value vector per token, shared by all heads.

    Attributes:
        heads: Query heads.
        q_lora_rank: Rank of the query's compression; None where it is not compressed.
        kv_lora_rank: Width of the compressed key/value vector.
        qk_nope_head_dim: Width of a query head without position.
        qk_rope_head_dim: Width of the part with position, cached once for all heads.
        v_head_dim: Width of a value head.
        indexer: Sparse attention's indexer, None where attention is dense.
        output_gate: A projection of the input, as wide as all value heads, gates the output (Kimi K3).
    """

    heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    indexer: Indexer | None = None
    output_gate: bool = False


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek V4's attention: one shared key/value vector per token, of which only a window and compressed ones stay.

    Attributes:
        heads: Query heads.
        head_dim: Width of a query head and of the one vector that is key and value.
        rope_head_dim: Part of it with position.
        q_lora_rank: Rank of the query's compression.
        output_groups: Groups of heads that the output projection starts with.
        output_lora_rank: Width that each group is projected to.
        window: Tokens that are kept as they are.
        compress_ratio: Tokens that one compressed vector stands for; 1 where the layer has its window only.
        indexer: Chooses among the compressed vectors (ratio 4); None where all are looked at.
    """

    heads: int
    head_dim: int
    rope_head_dim: int
    q_lora_rank: int
    output_groups: int
    output_lora_rank: int
    window: int
    compress_ratio: int
    indexer: Indexer | None = None


@dataclass(frozen=True)
class LinearAttention:
    """A delta-rule layer with a state of constant size (gated delta net, KDA): no growing cache.

    Attributes:
        key_heads: Heads of queries and keys.
        value_heads: Heads of values.
        key_head_dim: Width of a key head.
        value_head_dim: Width of a value head.
        conv_kernel: Width of the causal convolution; its last conv_kernel - 1 inputs are kept per request.
        kind: gdn or kda.
        state_bits: Bits that the config asks for in the state (mamba_ssm_dtype); None where it is silent.
    """

    key_heads: int
    value_heads: int
    key_head_dim: int
    value_head_dim: int
    conv_kernel: int
    kind: str = "gdn"
    full_rank_gate: bool = False
    state_bits: int | None = None


@dataclass(frozen=True)
class Mamba:
    """A Mamba-2 layer: a state of constant size per request.

    Attributes:
        heads: State-space heads.
        head_dim: Width of a head.
        state_size: Width of the state per channel.
        groups: Groups that share B and C.
        conv_kernel: Width of the causal convolution.
        state_bits: Bits that the config asks for in the state (mamba_ssm_cache_dtype); None where it is silent.
    """

    heads: int
    head_dim: int
    state_size: int
    groups: int
    conv_kernel: int
    state_bits: int | None = None


Mixer = Attention | LatentAttention | CompressedAttention | LinearAttention | Mamba


@dataclass(frozen=True)
class DenseMLP:
    """A feed-forward part that every token passes. Gated ones have three matrices, others two."""

    intermediate_size: int
    gated: bool = True


@dataclass(frozen=True)
class MixtureOfExperts:
    """A feed-forward part of which a token passes `top_k` of `experts`, and the shared experts always.

    Attributes:
        experts: Routed experts.
        top_k: Experts that a token passes.
        intermediate_size: Width of one routed expert.
        shared_intermediate_size: Width of all shared experts together, 0 without any.
        gated: Three matrices per expert, else two.
        latent_size: Width that tokens are projected to before the routed experts (latent MoE); None: hidden_size.
    """

    experts: int
    top_k: int
    intermediate_size: int
    shared_intermediate_size: int = 0
    gated: bool = True
    latent_size: int | None = None


FeedForward = DenseMLP | MixtureOfExperts


@dataclass(frozen=True)
class Layer:
    """One decoder layer; a hybrid model's layer may have only one of the two parts (Nemotron-H)."""

    mixer: Mixer | None
    feed_forward: FeedForward | None
