"""config.json of each family → layers by kind. Snippets hold the fields that decide; numbers are the public models'."""

from collections import Counter
from typing import Any

import pytest
from tests.support.models import BASE, DEEPSEEK, GPT_OSS, QWEN_MOE, card_of, config, kinds, refusal_of

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    MixtureOfExperts,
)
from inferplan.domain.model_catalogue import known_model


def windows(architecture: str, **changes: Any) -> list[int | None]:
    mixers = [layer.mixer for layer in card_of(config(architecture, **changes)).layers]
    return [mixer.window for mixer in mixers if isinstance(mixer, Attention)]


@pytest.mark.parametrize(
    ("architecture", "changes", "expected"),
    [
        ("MistralForCausalLM", {"sliding_window": 4096}, [4096] * 6),
        ("MistralForCausalLM", {"sliding_window": None}, [None] * 6),
        ("Phi3ForCausalLM", {"sliding_window": 2047}, [2047] * 6),
        ("LlamaForCausalLM", {"sliding_window": 4096}, [None] * 6),  # vllm's llama.py asks layer_types only
        ("Qwen2ForCausalLM", {"sliding_window": 4096}, [None] * 6),  # off unless use_sliding_window says otherwise
        ("Qwen2ForCausalLM", {"sliding_window": 9, "use_sliding_window": True}, [None] * 6),
        (
            "Qwen2ForCausalLM",
            {"sliding_window": 9, "use_sliding_window": True, "max_window_layers": 4},
            [None, None, None, None, 9, 9],
        ),
        ("Gemma2ForCausalLM", {"sliding_window": 4096}, [4096, None] * 3),
        ("Gemma3ForCausalLM", {"sliding_window": 512}, [512] * 5 + [None]),
        ("Gemma3ForCausalLM", {"sliding_window": 512, "sliding_window_pattern": 3}, [512, 512, None] * 2),
        ("Cohere2ForCausalLM", {}, [4096, 4096, 4096, None, 4096, 4096]),
        ("Olmo3ForCausalLM", {"layer_types": ["full_attention"] * 6}, [None] * 6),
        (
            "MistralForCausalLM",
            {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"] * 3},
            [7, None] * 3,
        ),
        (
            "Qwen3ForCausalLM",
            {"sliding_window": 7, "use_sliding_window": True, "layer_types": ["sliding_attention"] * 6},
            [7] * 6,
        ),
    ],
)
def test_each_family_has_its_own_windows(architecture: str, changes: dict[str, Any], expected: list[int]) -> None:
    assert windows(architecture, **changes) == expected


def test_gpt_oss_has_a_window_in_every_other_layer_and_experts_as_wide_as_the_model() -> None:
    card = card_of(GPT_OSS)
    assert kinds(card) == {"Attention(window=128)": 12, "Attention": 12}
    assert card.layers[0].feed_forward == MixtureOfExperts(32, 4, 2880)
    assert card.weight_bits == 16
    assert "torch_dtype is not stated" in card.assumptions[0]
    assert (card.is_dense, card.is_plain, card.has_states, card.is_latent) == (False, False, False, False)
    assert (card.heads, card.kv_heads, card.head_dim, card.intermediate_size) == (64, 8, 64, None)


def test_older_families_have_two_matrices_and_names_of_their_own() -> None:
    gpt2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50_257}
    card = card_of({"architectures": ["GPT2LMHeadModel"], **gpt2})
    assert card.layers[0].feed_forward == DenseMLP(3072, gated=False)  # 4 x 768
    assert card.tied_embeddings
    assert card.extra_parameters == 786_432  # 1024 positions x 768
    assert card.max_position_embeddings == 1024
    opt = config("OPTForCausalLM", intermediate_size=None, ffn_dim=4096, num_key_value_heads=None)
    assert card_of(opt).layers[0].feed_forward == DenseMLP(4096, gated=False)
    star = config("GPTBigCodeForCausalLM", num_key_value_heads=None, intermediate_size=None, n_inner=4096)
    assert card_of(star).kv_heads == 1
    assert card_of({**star, "multi_query": False}).kv_heads == 8


@pytest.mark.parametrize(
    ("changes", "kv_heads"),
    [
        ({"multi_query": True, "num_kv_heads": 8}, 1),  # Falcon-7B: num_kv_heads counts in the new architecture only
        ({"multi_query": False}, 8),
        ({"new_decoder_architecture": True, "num_kv_heads": 4}, 4),
    ],
)
def test_falcon_says_its_kv_heads_in_three_ways(changes: dict[str, Any], kv_heads: int) -> None:
    bare = config("FalconForCausalLM", num_key_value_heads=None, intermediate_size=None)
    card = card_of({**bare, **changes})
    assert card.kv_heads == kv_heads
    assert card.layers[0].feed_forward == DenseMLP(4096, gated=False)


def test_chatglm_groups_its_heads() -> None:
    fields = {"num_layers": 40, "hidden_size": 4096, "ffn_hidden_size": 13_696, "num_attention_heads": 32}
    glm = {"architectures": ["ChatGLMModel"], **fields, "kv_channels": 128, "padded_vocab_size": 151_552}
    card = card_of({**glm, "multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True})
    assert card.layers[0].mixer == Attention(32, 2, 128, 128, bias=True)
    assert card.num_layers == 40
    assert card_of(glm).kv_heads == 32


def test_llama_4_chunks_three_of_four_layers_and_alternates_experts() -> None:
    known = known_model("meta-llama/Llama-4-Maverick-17B-128E-Instruct")
    assert known is not None
    card = card_of(known.config)
    assert kinds(card) == {"Attention(chunk=8192)": 36, "Attention": 12}
    assert Counter(type(layer.feed_forward).__name__ for layer in card.layers) == {
        "DenseMLP": 24,
        "MixtureOfExperts": 24,
    }
    assert card.layers[1].feed_forward == MixtureOfExperts(128, 1, 8192, 8192)
    assert card.layers[0].feed_forward == DenseMLP(16_384)
    stated = card_of({**known.config, "text_config": {**known.config["text_config"], "no_rope_layers": [0] * 48}})
    assert kinds(stated) == {"Attention": 48}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("deepseek-ai/DeepSeek-V3", {"LatentAttention": 61}),
        ("deepseek-ai/DeepSeek-V3.2", {"LatentAttention(indexer)": 61}),
        ("zai-org/GLM-5.2", {"LatentAttention(indexer)": 21, "LatentAttention(shared indexer)": 57}),
        ("zai-org/GLM-5", {"LatentAttention(indexer)": 78}),
        ("moonshotai/Kimi-K3", {"LinearAttention": 69, "LatentAttention(gate)": 24}),
        ("deepseek-ai/DeepSeek-V4-Flash", {"Compressed 1": 2, "Compressed 4(indexer)": 21, "Compressed 128": 20}),
        ("deepseek-ai/DeepSeek-V4-Pro", {"Compressed 4(indexer)": 30, "Compressed 128": 31}),
        ("MiniMaxAI/MiniMax-M3", {"Attention": 3, "Attention(indexer)": 57}),
        ("MiniMaxAI/MiniMax-M2.5", {"Attention": 62}),
        ("XiaomiMiMo/MiMo-V2-Flash", {"Attention": 9, "Attention(window=128)": 39}),
        ("stepfun-ai/Step-3.7-Flash", {"Attention": 12, "Attention(window=512)": 33}),
        ("Qwen/Qwen3.5-397B-A17B", {"LinearAttention": 45, "Attention(gate)": 15}),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", {"LinearAttention": 36, "Attention(gate)": 12}),
        ("nvidia/Nemotron-H-56B-Base-8K", {"Mamba": 54, "Attention": 10, "none": 54}),
        ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", {"Mamba": 48, "Attention": 12, "none": 48}),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", {"Attention": 49, "none": 31}),
        ("google/gemma-4-26B-A4B", {"Attention(window=1024)": 25, "Attention(keys=values)": 5}),
        ("google/gemma-3-27b-it", {"Attention(window=1024)": 52, "Attention": 10}),
    ],
)
def test_layers_by_kind(model: str, expected: dict[str, int]) -> None:
    known = known_model(model)
    assert known is not None
    assert known.exact
    assert kinds(card_of(known.config)) == expected


def test_parts_of_the_newest_families() -> None:
    v4 = card_of(known_config("deepseek-ai/DeepSeek-V4-Flash"))
    assert v4.residual_streams == 4
    assert v4.layers[2].mixer == CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, 4, Indexer(64, 128, 512))
    assert v4.extra_parameters == 33_816_576  # 43 x 2 x 6 x 16 x 4096
    m3 = card_of(known_config("MiniMaxAI/MiniMax-M3")).layers[3]
    assert isinstance(m3.mixer, Attention)
    assert m3.mixer.indexer == Indexer(4, 128, 2048)  # 16 blocks of 128
    assert m3.feed_forward == MixtureOfExperts(128, 4, 3072, 3072)
    k3 = card_of(known_config("moonshotai/Kimi-K3")).layers
    assert k3[0].mixer == LinearAttention(96, 96, 128, 128, 4, "kda", full_rank_gate=True)
    assert k3[3].feed_forward == MixtureOfExperts(896, 16, 3072, 6144, latent_size=3584)  # 2 shared x 3072
    super_3 = card_of(known_config("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8")).layers
    assert super_3[0].mixer == Mamba(128, 64, 128, 8, 4, state_bits=32)
    assert super_3[1].feed_forward == MixtureOfExperts(512, 22, 2688, 5376, gated=False, latent_size=1024)
    qwen = card_of(known_config("Qwen/Qwen3.5-27B"))
    assert qwen.layers[0].mixer == LinearAttention(16, 48, 128, 128, 4, state_bits=32)
    assert (qwen.mtp_layers, qwen.has_states) == (1, True)


def known_config(model: str) -> Any:
    known = known_model(model)
    assert known is not None
    return known.config


def test_gemma_4_shares_caches_and_embeds_by_layer() -> None:
    e2b = {
        "hidden_size": 1536,
        "intermediate_size": 6144,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "global_head_dim": 512,
        "sliding_window": 512,
        "num_kv_shared_layers": 20,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 256,
        "vocab_size": 262_144,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7,
    }
    card = card_of({"architectures": ["Gemma4ForCausalLM"], **e2b})
    own, shared = card.layers[:15], card.layers[15:]
    assert not any(layer.mixer.shares_kv for layer in own if isinstance(layer.mixer, Attention))
    assert all(layer.mixer.shares_kv for layer in shared if isinstance(layer.mixer, Attention))
    assert {layer.feed_forward for layer in own} == {DenseMLP(6144)}
    assert {layer.feed_forward for layer in shared} == {DenseMLP(12_288)}
    assert card.extra_parameters == 2_390_097_920  # 35 x 256 x (262,144 + 3 x 1536)
    assert card.tied_embeddings
    assert refusal_of({"architectures": ["Gemma4ForCausalLM"], **e2b, "num_kv_shared_layers": 35}) == (
        "model config: num_kv_shared_layers 35 leaves no layer of 35 with a cache"
    )


def test_gemma_3n_has_projections_of_its_own() -> None:
    text = {"hidden_size": 2048, "intermediate_size": [8192] * 30, "num_hidden_layers": 30, "num_kv_shared_layers": 10}
    card = card_of({"architectures": ["Gemma3nForConditionalGeneration"], "text_config": text, "audio_config": {}})
    assert kinds(card) == {"Attention(window=512)": 16, "Attention": 4, "Attention(window=512, shared)": 8,
                           "Attention(shared)": 2}  # fmt: skip
    # 30 x 256 x (262,144 + 6144) + 6 x 2048² + 30 x (4 x 2048 + 80) + 30 x 2 x 2048 x 64
    assert card.extra_parameters == 2_060_451_840 + 25_165_824 + 248_160 + 7_864_320
    assert any("num_attention_heads" in note for note in card.assumptions)
    assert card.assumptions[-1] == "the config describes no encoder of images or sound, so none is counted"


def test_granite_hybrids_mix_mamba_and_attention() -> None:
    mamba = {"mamba_n_heads": 48, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4}
    small = config("GraniteMoeHybridForCausalLM", layer_types=["mamba", "attention"] * 3, **mamba)
    card = card_of({**small, "num_local_experts": 62, "num_experts_per_tok": 6, "shared_intermediate_size": 1024})
    assert kinds(card) == {"Mamba": 3, "Attention": 3}
    assert card.layers[0].feed_forward == MixtureOfExperts(62, 6, 4096, 1024)
    dense = card_of({**small, "shared_intermediate_size": 2048})
    assert dense.layers[0].feed_forward == DenseMLP(2048)


def test_a_nested_decoder_is_read_and_its_tower_counted() -> None:
    text = {key: value for key, value in BASE.items() if key != "torch_dtype"}
    tower = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
    outer = {"architectures": ["Mistral3ForConditionalGeneration"], "torch_dtype": "bfloat16"}
    card = card_of({**outer, "text_config": {**text, "model_type": "mistral"}, "vision_config": tower})
    assert card.architecture == "Mistral3ForConditionalGeneration"
    assert [each.name for each in card.towers] == ["vision"]
    # 24 x (4 x 1024² + 2 x 1024 x 4096 + 4 x 1024) + 3 x 14 x 14 x 1024 + 2 x 1024 x 1024
    assert card.towers[0].parameters == 302_088_192 + 602_112 + 2_097_152
    merging = card_of({**outer, "spatial_merge_size": 2, "text_config": text, "vision_config": tower})
    # Instead of the last two: 4 x 1024² that merge patches, and 1024 x 1024 twice.
    assert merging.towers[0].parameters - card.towers[0].parameters == 4 * 1024 * 1024
    wrapped = {**outer, "text_config": {**text, "architectures": ["Qwen2ForCausalLM"]}}
    assert card_of(wrapped).layers[0].mixer == Attention(8, 2, 128, 128, bias=True)
    audio = {"d_model": 1280, "encoder_layers": 32, "encoder_ffn_dim": 5120}
    heard = card_of({**wrapped, "audio_config": audio})
    assert [each.name for each in heard.towers] == ["audio"]


def test_llava_leaves_much_to_its_decoders_class() -> None:
    llava = {"architectures": ["LlavaForConditionalGeneration"], "text_config": {"model_type": "llama"}}
    card = card_of(llava)
    assert (card.num_layers, card.hidden_size, card.vocab_size) == (32, 4096, 32_000)
    assert "the configuration class's own in transformers" in card.assumptions[0]


def test_deepseek_v2_lite_has_uncompressed_queries_and_one_dense_layer() -> None:
    card = card_of(config("DeepseekV2ForCausalLM", **DEEPSEEK))
    assert card.layers[0].mixer == LatentAttention(8, None, 512, 128, 64, 128)
    assert card.layers[0].feed_forward == DenseMLP(4096)
    assert card.layers[1].feed_forward == MixtureOfExperts(64, 6, 1408, 2816)  # 2 x 1408
    assert card.heads == 8
    assert (card.kv_heads, card.head_dim, card.is_latent) == (None, None, True)
    heads = card_of(config("DeepseekForCausalLM", **{**DEEPSEEK, "kv_lora_rank": None}))
    assert heads.kv_heads == 2


@pytest.mark.parametrize(
    ("changes", "sparse"),
    [
        ({"moe_layer_freq": [0, 1, 1, 0, 1, 1]}, [1, 2, 4, 5]),
        ({"moe_layer_freq": 2}, [2, 4]),
        ({"first_k_dense_replace": 4}, [4, 5]),
    ],
)
def test_which_layers_have_experts(changes: dict[str, Any], sparse: list[int]) -> None:
    card = card_of(config("DeepseekV3ForCausalLM", **{**DEEPSEEK, **changes}))
    found = [index for index, layer in enumerate(card.layers) if isinstance(layer.feed_forward, MixtureOfExperts)]
    assert found == sparse


def test_qwen_leaves_layers_out_of_its_experts() -> None:
    card = card_of(config("Qwen3MoeForCausalLM", **QWEN_MOE, decoder_sparse_step=2, mlp_only_layers=[1]))
    dense = [index for index, layer in enumerate(card.layers) if isinstance(layer.feed_forward, DenseMLP)]
    assert dense == [0, 1, 2, 4]


STEP = {"num_attention_groups": 2, "num_key_value_heads": None, "sliding_window": 512, "moe_num_experts": 16}


@pytest.mark.parametrize(
    ("changes", "experts"),
    [
        ({"moe_layers_enum": "3,4, 5"}, [3, 4, 5]),
        ({"mlp_layer_types": ["dense"] * 5 + ["sparse"]}, [5]),
        ({}, [1, 2, 3, 4, 5]),
    ],
)
def test_step_lists_its_experts_in_three_ways(changes: dict[str, Any], experts: list[int]) -> None:
    shape = {**STEP, "moe_top_k": 4, "moe_intermediate_size": 640, "share_expert_dim": 640}
    kinds_of_layers = ["full_attention", "sliding_attention"] * 3
    other = {"attention_type": "sliding_attention", "num_attention_heads": 12}
    step = config("Step3p5ForCausalLM", **shape, layer_types=kinds_of_layers, attention_other_setting=other)
    card = card_of({**step, **changes})
    found = [index for index, layer in enumerate(card.layers) if isinstance(layer.feed_forward, MixtureOfExperts)]
    assert found == experts
    assert card.heads is None  # 8 in full layers, 12 in those with a window
    more = card_of({**step, "num_sliding_attention_heads": 16}).layers[1].mixer
    assert isinstance(more, Attention)
    assert more.heads == 16


def test_deci_models_shape_each_layer() -> None:
    full = {"attention": {"no_op": False, "n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.625}}
    thin = {"attention": {"no_op": True}, "ffn": {"intermediate_size": 512}}
    bare = {"attention": {"no_op": False, "n_heads_in_group": 8}, "ffn": {"no_op": True}}
    deci = config("DeciLMForCausalLM", num_hidden_layers=3, block_configs=[full, thin, bare])
    card = card_of(deci)
    assert card.layers[0].feed_forward == DenseMLP(1792)  # 2 x 2.625 x 1024 / 3 = 1792 = 7 x 256
    assert [layer.mixer is None for layer in card.layers] == [False, True, False]
    assert [layer.feed_forward is None for layer in card.layers] == [False, False, True]
    assert card.kv_heads is None  # 8 / 4 = 2 and 8 / 8 = 1
    grouped = config("DeciLMForCausalLM", num_key_value_heads_per_layer=[1, 2, 4, 2, 1, 8])
    assert [layer.mixer.kv_heads for layer in card_of(grouped).layers if isinstance(layer.mixer, Attention)] == [
        *(1, 2, 4, 2, 1, 8)
    ]
    assert card_of(config("DeciLMForCausalLM")).kv_heads == 2
