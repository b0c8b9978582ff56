"""What of a config.json cannot be used, and that the message names the field."""

from typing import Any

import pytest
from tests.support.build import LLAMA_CONFIG
from tests.support.models import DEEPSEEK, GPT_OSS, QWEN_MOE, card_of, config, refusal_of

SLIDING = ["sliding_attention"] * 6
LINEAR = {
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 8,
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
}
NEMOTRON = {
    "architectures": ["NemotronHForCausalLM"],
    "hidden_size": 1024,
    "vocab_size": 32_000,
    "mamba_num_heads": 32,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 8,
}
V4 = {
    "q_lora_rank": 256,
    "qk_rope_head_dim": 64,
    "head_dim": 512,
    "o_groups": 2,
    "o_lora_rank": 128,
    "sliding_window": 128,
    "index_n_heads": 8,
    "index_head_dim": 128,
    "index_topk": 512,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 256,
}
M3 = {**QWEN_MOE, "dense_intermediate_size": 4096}
SPARSE = {"sparse_topk_blocks": 16, "sparse_block_size": 128, "sparse_num_index_heads": 4, "sparse_index_dim": 128}
KDA = {"num_heads": 8, "head_dim": 128}
MLA = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**LLAMA_CONFIG, "num_experts": 8}, "num_experts names experts, which this architecture has not"),
        (config("MistralForCausalLM", layer_types=SLIDING), "sliding_window must be a whole number"),
        (config("MistralForCausalLM", layer_types=SLIDING[:5], sliding_window=9), "layer_types has 5 entries for num"),
        (config("MistralForCausalLM", layer_types=["odd"] * 6), "layer_types names 'odd', which is not sized here"),
        (config("MistralForCausalLM", layer_types="full_attention"), "layer_types must be a list"),
        (config("Gemma3ForCausalLM", num_hidden_layers=80, layer_types=SLIDING * 8 + SLIDING * 2 + ["x"] * 4),
         "it was cut"),
        (config("Qwen3MoeForCausalLM", **{**QWEN_MOE, "num_experts_per_tok": 65}), "65 is more than the 64 experts"),
        (config("Qwen3MoeForCausalLM", **{**QWEN_MOE, "moe_intermediate_size": None}), "moe_intermediate_size must"),
        (config("Qwen3MoeForCausalLM", **{**QWEN_MOE, "num_experts": True}), "num_experts must be a whole number"),
        (config("Qwen3MoeForCausalLM"), "num_experts must be a whole number"),
        (config("DeepseekV3ForCausalLM", **{**DEEPSEEK, "n_routed_experts": None}), "num_experts must be a whole"),
        (config("DeepseekV3ForCausalLM", **{**DEEPSEEK, "moe_layer_freq": [0, 1, 1, 2, 1, 1]}), "must hold 0 and 1"),
        (config("DeepseekV3ForCausalLM", **{**DEEPSEEK, "moe_layer_freq": 0}), "moe_layer_freq must be a whole number"),
        (config("DeepseekV3ForCausalLM", **{**DEEPSEEK, "v_head_dim": 0}), "v_head_dim must be a whole number from 1"),
        (config("DeepseekV4ForCausalLM", **V4), "compress_ratios must list each layer's ratio"),
        (config("DeepseekV4ForCausalLM", **V4, compress_ratios=[0, 0, 4, 4, 4, 5]), "must hold 0, 1, 4 and 128, not 5"),
        (config("DeepseekV4ForCausalLM", **V4, layer_types=[*SLIDING[:5], "odd"]), "layer_types names 'odd'"),
        (config("Qwen3_5ForCausalLM", **LINEAR, layer_types=SLIDING), "layer_types names 'sliding_attention'"),
        (config("Qwen3_5ForCausalLM", **{**LINEAR, "linear_num_value_heads": 6}), "linear_num_value_heads 6 is no mul"),
        (config("Qwen3_5ForCausalLM", **LINEAR, mamba_ssm_dtype="int8"), "mamba_ssm_dtype 'int8' is none of"),
        (config("Qwen3_5ForCausalLM", **LINEAR, attn_output_gate=3), "attn_output_gate must be true or false, not 3"),
        (config("KimiLinearForCausalLM", **MLA, **QWEN_MOE, linear_attn_config={**KDA, "kda_layers": [1, 2]}),
         "linear_attn_config.kda_layers and full_attn_layers must name each of num_hidden_layers 6 once"),
        (config("KimiLinearForCausalLM", **MLA, **QWEN_MOE, linear_attn_config=[]), "linear_attn_config must be an"),
        ({**NEMOTRON}, "hybrid_override_pattern must be made of M, *, - and E, not None"),
        ({**NEMOTRON, "hybrid_override_pattern": "MX"}, "must be made of M, *, - and E, not 'MX'"),
        ({**NEMOTRON, "hybrid_override_pattern": 3}, "hybrid_override_pattern must be text"),
        ({**NEMOTRON, "layers_block_type": ["mamba", 7]}, "must be made of M, *, - and E"),
        ({**NEMOTRON, "hybrid_override_pattern": "MM", "num_hidden_layers": 3}, "has 2 layers, num_hidden_layers is 3"),
        ({**NEMOTRON, "layers_block_type": ["mamba"] * 64}, "num_hidden_layers is missing, and a list of 64 layers"),
        ({**NEMOTRON, "hybrid_override_pattern": "M", "block_configs": [1]}, "block_configs gives layers shapes of th"),
        (config("GraniteMoeHybridForCausalLM"), "layer_types must say mamba or attention for each layer"),
        (config("GraniteMoeHybridForCausalLM", layer_types=SLIDING), "layer_types must say mamba or attention"),
        (config("MiMoV2FlashForCausalLM", **QWEN_MOE), "hybrid_layer_pattern must say which layers have a window"),
        (config("MiMoV2FlashForCausalLM", **QWEN_MOE, hybrid_layer_pattern=[1] * 6, head_dim=64, num_key_value_heads=3),
         "num_attention_heads 8 is no multiple of num_key_value_heads 3"),
        (config("MiniMaxM3ForCausalLM", **M3, sparse_attention_config={"sparse_attention_freq": [1] * 5, **SPARSE}),
         "sparse_attention_config.sparse_attention_freq has 5 entries"),
        (config("DeciLMForCausalLM", block_configs=[3] * 6), "block_configs[0].block must be an object, not 3"),
        (config("DeciLMForCausalLM", block_configs=[{}] * 6), "block_configs[0].attention must be an object, not {}"),
        (config("DeciLMForCausalLM", block_configs=[{"attention": {"replace_with_linear": True}}] * 6),
         "block_configs[0].attention.replace_with_linear is not sized here"),
        (config("DeciLMForCausalLM",
                block_configs=[{"attention": {"no_op": True}, "ffn": {"replace_with_linear": True}}] * 6),
         "block_configs[0].ffn.replace_with_linear is not sized here"),
        (config("DeciLMForCausalLM",
                block_configs=[{"attention": {"no_op": True}, "ffn": {"ffn_mult": float("nan")}}] * 6),
         "block_configs[0].ffn.ffn_mult must be a positive number, not nan"),
        (config("LlavaForConditionalGeneration", text_config={"model_type": "odd"}), "model_type 'odd' is not sized"),
        (config("LlavaForConditionalGeneration", text_config=3), "text_config must be an object, not 3"),
        ({**LLAMA_CONFIG, "vision_config": {"depth": 10**12, "hidden_size": 4}}, "vision_config.depth must be a whole"),
        ({**LLAMA_CONFIG, "vision_tower_params_b": 1e6}, "vision_tower_params_b must be at most 10000"),
        ({**LLAMA_CONFIG, "vision_tower_params_b": -1}, "vision_tower_params_b must be a positive number"),
        ({**LLAMA_CONFIG, "max_position_embeddings": 0}, "max_position_embeddings must be a whole number from 1"),
        ({**LLAMA_CONFIG, "quantization_config": {"quant_method": "odd"}}, "quant_method 'odd' is not known"),
    ],
)  # fmt: skip
def test_the_message_names_the_field(fields: dict[str, Any], message: str) -> None:
    assert message in refusal_of(fields)


BARE = {key: value for key, value in LLAMA_CONFIG.items() if key not in {"architectures", "rope_scaling"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "jamba"}, "architectures is missing, and model_type 'jamba' is not sized yet"),
        ({"mamba_d_state": 16}, "architectures is missing, and 'mamba_d_state' is none of a plain decoder's fields"),
        ({"sliding_window": 4096}, "sliding_window is set; which layers have it is not known without architectures"),
        ({"num_experts": 8, "num_experts_per_tok": 2}, "moe_intermediate_size must be a whole number"),
        (
            {"layer_type_counts": {"full_attention": 30}},
            "layer_type_counts has 30 layers of 1 kinds for num_hidden",
        ),
        ({"layer_type_counts": {"a": 20, "b": 6, "c": 6}}, "layer_type_counts has 32 layers of 3 kinds"),
        ({"layer_type_counts": {"full_attention": True}}, "layer_type_counts.full_attention must be a whole number"),
        ({"layer_type_counts": {"full_attention": 10**12}}, "layer_type_counts.full_attention must be a whole number"),
        ({"layer_type_counts": 3}, "layer_type_counts must be an object"),
        ({"vocab_size": None}, "vocab_size must be a whole number"),
        ({"torch_dtype": "fp4"}, "torch_dtype 'fp4' is none of"),
    ],
)
def test_a_config_without_a_name_needs_telling_fields(changes: dict[str, Any], message: str) -> None:
    assert message in refusal_of({**BARE, **changes})


def test_a_config_without_a_name_is_read_by_its_fields() -> None:
    plain = card_of(BARE)
    assert plain.architecture == "unknown (read as a decoder with a gated MLP)"
    assert plain.is_plain
    assert plain.assumptions == ("config.json names no architecture: it is read as a decoder with a gated MLP",)
    typed = card_of({**BARE, "model_type": "qwen2", "torch_dtype": None})
    assert typed.architecture == "unknown (read as qwen2)"
    assert typed.assumptions[1] == "torch_dtype is not stated: weights are taken to have 16 bits"
    mixtral = card_of({**BARE, "num_local_experts": 8, "num_experts_per_tok": 2})
    assert not mixtral.is_dense
    assert card_of({**BARE, "use_sliding_window": False, "sliding_window": 4096}).is_plain
    untied = card_of({**BARE, "tie_word_embeddings": None})
    assert untied.assumptions[-1].startswith("tie_word_embeddings is not stated: lm_head is a matrix of its own")
    assert card_of({**BARE, "vision_tower_params_b": 0.44}).towers[0].parameters == 440_000_000


@pytest.mark.parametrize(
    ("counts", "order"),
    [
        ({"full_attention": 8, "sliding_attention": 24}, "sssf" * 8),
        ({"full_attention": 16, "sliding_attention": 16}, "sf" * 16),
        ({"sliding_attention": 32}, "s" * 32),
        ({"full_attention": 32, "sliding_attention": 0}, "f" * 32),
    ],
)
def test_counts_of_layer_types_are_spread_evenly(counts: dict[str, int], order: str) -> None:
    card = card_of({**BARE, "sliding_window": 512, "layer_type_counts": counts})
    letters = ["f" if getattr(layer.mixer, "window", None) is None else "s" for layer in card.layers]
    assert "".join(letters) == order
    assert card.assumptions[0].startswith("the order of layers is not given")


def test_counts_alone_give_the_number_of_layers_and_lists_win_over_counts() -> None:
    counts = {"full_attention": 12, "sliding_attention": 12}
    bare = {key: value for key, value in GPT_OSS.items() if key != "num_hidden_layers"}
    assert card_of({**bare, "layer_type_counts": counts}).num_layers == 24
    listed = card_of({**GPT_OSS, "layer_types": ["full_attention"] * 24, "layer_type_counts": counts})
    assert {getattr(layer.mixer, "window", None) for layer in listed.layers} == {None}
