"""Quantization configs as checkpoints carry them, abbreviated, and what is read out of each."""

from typing import Any

import pytest

from inferplan.domain.quantization import NumberFormat, Quantization, Reach, Scaling
from inferplan.domain.quantization_scheme import read_quantization

BLOCK = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
NVFP4_GROUP = {
    "input_activations": {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16},
    "weights": {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16},
    "targets": ["Linear"],
}
INT4_GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group"}}
INT8_GROUP = {
    "targets": ["Linear"],
    "input_activations": {"num_bits": 8, "type": "int", "dynamic": True},
    "weights": {"num_bits": 8, "type": "int", "strategy": "channel"},
}
QUARK_FP4 = {"weight": {"dtype": "fp4", "group_size": 32}}
TORCHAO_INT4 = {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}
HQQ = {"weight_quant_params": {"nbits": 4, "group_size": 64}}


def read(quantization: dict[str, Any], **model: Any) -> Quantization:
    found = read_quantization({"quantization_config": quantization, **model})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("config", "weights", "activations", "bits"),
    [
        (BLOCK, "fp8", "fp8", 8 + 32 / 128**2),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8", "fp8", 8.0),
        ({"quant_method": "fbgemm_fp8"}, "fp8", "fp8", 8 + 32 / 4096),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4", None, 4 + (16 + 4) / 128),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, "int4", None, 4 + (16 + 4) / 64),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8", None, 8 + (16 + 8) / 4096),
        ({"quant_method": "auto-round", "bits": 2, "group_size": 32}, "int2", None, 2 + (16 + 2) / 32),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4", None, 4 + 32 / 64),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", None, 8 + 32 / 4096),
        ({"quant_method": "mxfp4"}, "mxfp4", None, 4 + 8 / 32),
        ({"quant_method": "experts_int8"}, "int8", None, 8 + 32 / 4096),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", "nvfp4", 4 + 8 / 16),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, "fp8", "fp8", 8.0),
        ({"quantization": {"quant_algo": "W4A16_AWQ", "group_size": 64}}, "int4", None, 4 + 16 / 64),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, "mxfp8", "mxfp8", 8 + 8 / 32),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": INT4_GROUP}}, "int4", None, 4 + 16 / 32),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": INT8_GROUP}}, "int8", "int8", 8 + 32 / 4096),
        ({"config_groups": {"a": NVFP4_GROUP}}, "nvfp4", "nvfp4", 4.5),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "int4", None, 4 + 16 / 128),
        ({"quant_method": "quark", "global_quant_config": QUARK_FP4}, "mxfp4", None, 4.25),
        ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp8_e4m3"}]}}, "fp8", None, 8.0),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "int8", None, 8 + 32 / 4096),
        ({"quant_method": "torchao", "quant_type": {"default": TORCHAO_INT4}}, "int4", None, 4 + (16 + 4) / 64),
        ({"quant_method": "hqq", "quant_config": HQQ}, "int4", None, 4 + (16 + 16) / 64),
    ],
)  # fmt: skip
def test_each_kind_of_checkpoint_tells_its_formats_and_bits(
    config: dict[str, Any], weights: str, activations: str | None, bits: float
) -> None:
    found = read(config)
    assert (found.weights, found.activations) == (weights, activations)
    assert found.scheme is not None
    assert found.scheme.bits_per_value(4096) == pytest.approx(bits)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"quant_method": "aqlm"}, "quant_method 'aqlm' is not known"),
        ({"bits": 4}, "quantization_config.quant_method"),
        ("fp8", "quantization_config must be an object"),
        ({"quant_method": "gptq", "bits": 5}, "quantization_config.bits 5"),
        ({"quant_method": "awq", "bits": -4}, "quantization_config.bits"),
        ({"quant_method": "fp8", "weight_block_size": ["a"]}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": []}, "weight_block_size"),
        ({"quant_method": "fp8", "ignored_layers": [1]}, "quantization_config.ignored_layers"),
        ({"quant_method": "fp8", "ignored_layers": ["re:("]}, "no regular expression"),
        ({"quant_method": "fp8", "ignored_layers": ["re:(a+)+$"]}, "repeats a repetition"),
        ({"quant_method": "compressed-tensors"}, "quantization_config.config_groups"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 1}}, "config_groups.a"),
        ({"quant_method": "modelopt", "quant_algo": "FP3"}, "quant_algo 'FP3' is not known"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "quantized_layers"),
        ({"quant_method": "quark"}, "global_quant_config"),
        ({"quant_method": "torchao", "quant_type": "float1"}, "quant_type 'float1' is not known"),
    ],
)
def test_what_cannot_be_sized_is_refused_by_its_field(config: Any, names: str) -> None:
    with pytest.raises(ValueError, match=names.replace("(", "\\(")):
        read_quantization({"quantization_config": config})


def test_a_config_without_quantization_has_none() -> None:
    assert read_quantization({"hidden_size": 4096}) is None
    assert read_quantization({"quantization_config": None, "text_config": {}}) is None


def test_a_multimodal_config_keeps_it_with_its_text_model() -> None:
    found = read_quantization({"text_config": {"quantization_config": BLOCK}})
    assert found is not None
    assert found.group_size == 128


def test_the_kv_format_that_a_checkpoint_brings_is_read() -> None:
    scheme = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    assert read({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}).kv_cache == "fp8"
    assert read({"config_groups": {"a": INT4_GROUP}, "kv_cache_scheme": scheme}).kv_cache == "fp8"
    assert read({"config_groups": {"a": INT4_GROUP}, "kv_cache_scheme": None}).kv_cache is None


def test_lm_head_stays_in_16_bit_unless_the_config_says_otherwise() -> None:
    def keeps_head(config: dict[str, Any]) -> bool:
        return any(pattern.means(("lm_head",)) for pattern in read(config).kept)

    assert keeps_head(BLOCK)
    assert keeps_head({"quant_method": "gptq", "bits": 4})
    assert not keeps_head({"quant_method": "gptq", "bits": 4, "lm_head": True})


def test_gptqs_rules_by_module_keep_or_change() -> None:
    rules = {"-:.*down.*": {}, "+:.*up.*": {"bits": 8}}
    found = read({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": rules})
    assert any(pattern.layers_of(("mlp.down_proj",), (0, 1)) == {0, 1} for pattern in found.kept)
    assert [part.scheme.weights for part in found.parts] == [NumberFormat.INT8]


def test_groups_with_targets_are_parts_and_one_for_linear_is_the_rest() -> None:
    wide = {**INT8_GROUP, "targets": ["re:.*self_attn.*"]}
    found = read({"quant_method": "compressed-tensors", "config_groups": {"a": wide, "b": INT4_GROUP}})
    assert found.weights is NumberFormat.INT4
    assert [part.scheme.weights for part in found.parts] == [NumberFormat.INT8]


def test_mixed_precision_names_an_algorithm_per_module() -> None:
    layers = {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.1.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.mlp.experts.7.w1": {"quant_algo": "NVFP4", "group_size": 16},
    }
    found = read({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers})
    assert found.scheme is None
    assert [part.scheme.weights for part in found.parts] == [NumberFormat.FP8, NumberFormat.NVFP4]
    assert [pattern.text for pattern in found.parts[1].modules] == ["mlp.experts.w1"]
    assert found.parts[0].modules[0].layers == {0, 1}
    assert found.weights is NumberFormat.NVFP4


def test_a_list_of_64_modules_may_be_cut_and_goes_for_all_layers() -> None:
    ignore = ["lm_head", *(f"model.layers.{number}.self_attn*" for number in range(63))]
    found = read({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignore})
    assert any(pattern.text == "self_attn*" and pattern.layers is None for pattern in found.kept)
    assert "may be cut" in found.assumptions[0]
    shorter = read({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignore[:-1]})
    assert not shorter.assumptions


def test_deepseek_v4s_experts_are_fp4_inside_an_fp8_config() -> None:
    found = read(BLOCK, expert_dtype="fp4")
    assert [part.scheme.weights for part in found.parts] == [NumberFormat.MXFP4]
    assert found.scheme is not None
    assert found.scheme.scaling is Scaling.BLOCK


def test_mxfp4_and_experts_int8_reach_experts_only() -> None:
    assert read({"quant_method": "mxfp4"}).reach is Reach.EXPERTS
    assert read({"quant_method": "experts_int8"}).reach is Reach.EXPERTS


def test_auto_rounds_extra_config_keeps_or_widens_modules() -> None:
    extra = {"model.layers.0.mlp.down_proj": {"bits": 16}, "model.layers.1.mlp.down_proj": {"bits": 8}}
    found = read({"quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": extra})
    assert any(pattern.layers_of(("mlp.down_proj",), (0, 1)) == {0} for pattern in found.kept)
    assert [part.scheme.weights for part in found.parts] == [NumberFormat.INT8]


def test_blocks_and_zero_points_of_compressed_tensors_are_read() -> None:
    block = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
    whole = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    uneven = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": False}
    schemes = [
        read({"config_groups": {"a": {"targets": ["Linear"], "weights": each}}}).scheme
        for each in (block, whole, uneven)
    ]
    assert [scheme and scheme.scaling for scheme in schemes] == [Scaling.BLOCK, Scaling.TENSOR, Scaling.GROUP]
    assert [scheme and scheme.zero_bits for scheme in schemes] == [0, 0, 4]


def test_quarks_layers_and_cache_have_their_own_formats() -> None:
    fp8 = {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel"}, "input_tensors": {"dtype": "fp8_e4m3"}}
    int4 = {"weight": {"dtype": "uint4", "group_size": 128}}
    cache = {"*k_proj": {"output_tensors": {"dtype": "fp8_e4m3"}}}
    config = {"global_quant_config": fp8, "layer_quant_config": {"*.mlp.*": int4}, "kv_cache_quant_config": cache}
    found = read({"quant_method": "quark", **config})
    assert (found.weights, found.activations, found.kv_cache) == ("fp8", "fp8", "fp8")
    assert [part.scheme.bits_per_value(4096) for part in found.parts] == [4 + 20 / 128]


def test_modelopts_mixture_without_a_list_of_layers_is_read_by_its_groups() -> None:
    config = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "config_groups": {"a": NVFP4_GROUP}}
    assert read(config).weights is NumberFormat.NVFP4
    assert read({"quant_method": "modelopt", "config_groups": {"a": NVFP4_GROUP}}).weights is NumberFormat.NVFP4


def test_the_rest_of_a_mixture_inside_an_fp8_config_is_fp8() -> None:
    layers = {"layers.0.ffn.experts": {"quant_algo": "NVFP4", "group_size": 16}}
    found = read({"quant_method": "fp8", "quant_algo": "MIXED_PRECISION", "producer": {}, "quantized_layers": layers})
    assert found.scheme is not None
    assert found.scheme.scaling is Scaling.BLOCK


def test_what_a_config_leaves_out_is_said() -> None:
    assert read({"quant_method": "gptq"}).assumptions == (
        "quantization_config has no bits: 4 assumed",
        "quantization_config has no group_size: 128 assumed",
    )
