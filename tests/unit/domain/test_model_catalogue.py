"""Models by id, their twins, and short configs that are filled up."""

from typing import Any

import pytest
from tests.support.build import LLAMA_CONFIG
from tests.support.models import GPT_OSS

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_catalogue import catalogue, known_model, says_quantized
from inferplan.domain.model_compact import compacted, expanded
from inferplan.domain.model_config import read_model_config
from inferplan.domain.model_lookup import model_card


def looked_up(config: dict[str, Any] | None, model_id: str | None) -> ModelCard:
    card = model_card(config, model_id)
    assert isinstance(card, ModelCard), card
    return card


def test_every_entry_is_read() -> None:
    entries = list(catalogue())
    assert len(entries) > 200
    for entry in entries:
        assert isinstance(read_model_config(entry.config), ModelCard), entry.name
        assert entry.source
        assert entry.exact


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("/models/Qwen/Qwen3-8B/", "Qwen/Qwen3-8B"),
        ("/root/.cache/hub/models--Qwen--Qwen3-8B/snapshots/0123abc", "Qwen/Qwen3-8B"),
        ("unsloth/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("/models/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("RedHatAI/Qwen3-8B-FP8-dynamic", "Qwen/Qwen3-8B"),
        ("RedHatAI/Qwen3-32B-quantized.w4a16", "Qwen/Qwen3-32B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("unsloth/meta-llama-3.1-8b-instruct-unsloth-bnb-4bit", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "mistralai/Mistral-7B-Instruct-v0.2"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-R1"),
    ],
)
def test_ids_and_their_twins_are_found(model_id: str, name: str) -> None:
    known = known_model(model_id)
    assert known is not None
    assert known.name == name


@pytest.mark.parametrize(
    "model_id", [None, "", "/", "nobody/nothing", "Qwen/Qwen3-9B", "Qwen3", "8B", "instruct", "-fp8"]
)
def test_what_is_not_known_is_not_guessed(model_id: str | None) -> None:
    assert known_model(model_id) is None


@pytest.mark.parametrize(
    ("model_id", "quantized"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", True),
        ("RedHatAI/Llama-3.2-1B-Instruct-FP8", True),
        ("x/y-w4a16", True),
        ("unsloth/gpt-oss-20b", False),
        ("nvidia/Llama-3.1-8B", False),
        (None, False),
    ],
)
def test_a_name_says_that_a_checkpoint_is_quantized(model_id: str | None, quantized: bool) -> None:
    assert says_quantized(model_id) is quantized


def test_a_twins_quantization_is_its_own() -> None:
    twin = looked_up(None, "RedHatAI/Qwen3-8B-FP8-dynamic")
    assert (twin.quantization, twin.quantization_known) == (None, False)
    assert "how its checkpoint is quantized is not known" in twin.assumptions[1]
    own = looked_up(None, "Qwen/Qwen3-32B-FP8")
    assert (own.quantization_method, own.quantization_known) == ("fp8", True)
    later = looked_up(None, "deepseek-ai/DeepSeek-R1-0528")
    assert (later.quantization_method, later.max_position_embeddings) == ("fp8", None)
    widened = looked_up(None, "unsloth/gpt-oss-20b-BF16")
    assert (widened.quantization, widened.quantization_known) == (None, True)
    awq = looked_up(dict(LLAMA_CONFIG), "nobody/Llama-AWQ")
    assert not awq.quantization_known
    stated = looked_up({**LLAMA_CONFIG, "quantization_config": {"quant_method": "fp8"}}, "nobody/Llama-FP8")
    assert stated.quantization_known


@pytest.mark.parametrize(
    ("model_id", "method"),
    [
        ("google/gemma-4-31B-it", None),  # the catalogue has NVIDIA's NVFP4 of it only
        ("Qwen/Qwen3.5-122B-A10B", None),
        ("deepseek-ai/DeepSeek-V3.1", "fp8"),  # NVIDIA's NVFP4 only, but DeepSeek-V3 and R1 of the same shape
        ("moonshotai/Kimi-K2.6", "compressed-tensors"),  # the same with Kimi-K2.5
        ("unsloth/Kimi-K2.6-BF16", None),
        ("moonshotai/Kimi-K2-Thinking", "compressed-tensors"),
        ("MiniMaxAI/MiniMax-M2.1", "fp8"),
    ],
)
def test_an_id_without_its_own_entry_is_published_as_its_makers_are(model_id: str, method: str | None) -> None:
    card = looked_up(None, model_id)
    assert (card.quantization_method if card.quantization else None) == method
    assert card.quantization_known


def test_quantization_beside_the_config_is_known_by_id() -> None:
    known = known_model("nvidia/Llama-3.1-70B-Instruct-FP8")
    assert known is not None
    bare = {key: value for key, value in known.config.items() if key != "hf_quant_config"}
    card = looked_up(bare, "nvidia/Llama-3.1-70B-Instruct-FP8")
    assert card.quantization_method == "modelopt"
    assert card.assumptions[0].startswith("the config says nothing of quantization")


@pytest.mark.parametrize(("model_id", "told"), [(None, "given:"), ("a/b", 'the catalogue has no model "a/b"')])
def test_nothing_known_says_what_to_give(model_id: str | None, told: str) -> None:
    card = model_card(None, model_id)
    assert isinstance(card, Missing)
    assert card.code is Reason.MODEL_CONFIG_MISSING
    assert told in card.reason


QWEN_27B = {
    # Qwen3.6-27B as people write it down: no architecture, counts of layers
    "full_attention_interval": 4,
    "head_dim": 256,
    "hidden_size": 5120,
    "intermediate_size": 17_408,
    "layer_type_counts": {"full_attention": 16, "linear_attention": 48},
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 48,
    "linear_value_head_dim": 128,
    "max_position_embeddings": 32_768,
    "num_attention_heads": 24,
    "num_hidden_layers": 64,
    "num_key_value_heads": 4,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "vocab_size": 248_320,
}


def test_a_short_config_is_filled_up_from_one_of_its_shape() -> None:
    card = looked_up(QWEN_27B, "somebody/local-27b")
    assert card.architecture == "Qwen3_5ForConditionalGeneration"
    assert [tower.name for tower in card.towers] == ["vision"]
    assert card.max_position_embeddings == 32_768  # the config's own
    assert card.quantization is None
    assert card.assumptions[0].startswith("what the config leaves out is taken from Qwen/Qwen3.5-27B")
    quantized = {**QWEN_27B, "quantization_config": {"quant_method": "fp8"}}
    assert looked_up(quantized, None).quantization_method == "fp8"


def test_what_the_config_says_is_never_contradicted() -> None:
    other = looked_up({**QWEN_27B, "num_key_value_heads": 8}, "Qwen/Qwen3.5-27B")
    assert other.kv_heads == 8
    assert other.towers == ()
    assert looked_up({**QWEN_27B, "vocab_size": 1000}, None).vocab_size == 1000
    fewer = {**QWEN_27B, "layer_type_counts": {"full_attention": 8, "linear_attention": 56}}
    assert looked_up(fewer, None).towers == ()


def test_a_short_config_that_cannot_be_read_alone_is_completed_by_its_id() -> None:
    short = {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "hidden_size": 2816,
        "num_hidden_layers": 30,
        "num_attention_heads": 16,
        "num_experts": 128,
        "vocab_size": 262_144,
        "layer_type_counts": {"full_attention": 5, "sliding_attention": 25},
    }
    assert isinstance(model_card(short, "nobody/nothing"), ModelCard)
    card = looked_up(short, "google/gemma-4-26B-A4B")
    assert card.layers[0].feed_forward is not None
    wrong = model_card({**short, "num_experts": 127}, "google/gemma-4-26B-A4B")
    assert isinstance(wrong, Missing)
    assert "sliding_window" in wrong.reason  # the first field that it lacks


def test_a_plain_twin_comes_before_one_that_sees() -> None:
    qwen3_8b = {
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 12_288,
        "vocab_size": 151_936,
    }
    card = looked_up(qwen3_8b, None)
    assert card.architecture == "Qwen3ForCausalLM"
    assert card.towers == ()


def test_whole_configs_are_read_as_they_are() -> None:
    assert model_card(dict(LLAMA_CONFIG), "Qwen/Qwen3-8B") == read_model_config(LLAMA_CONFIG)
    assert model_card({**GPT_OSS, "head_dim": "x"}, None) == read_model_config({**GPT_OSS, "head_dim": "x"})
    no_number = model_card({**QWEN_27B, "hidden_size": "x"}, None)
    assert isinstance(no_number, Missing)


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (["a"] * 6 + ["b"] * 6, {"of": ["a", "b"], "at": "000000111111"}),
        ([{"x": 1}] * 12, {"of": [{"x": 1}], "at": "000000000000"}),
        ([1, 2, 3], [1, 2, 3]),
        (list(range(40)), list(range(40))),
        (
            [f"model.layers.{index}.mlp" for index in (*range(12), 14)],
            ["model.layers.<0-11,14>.mlp"],
        ),
        (
            {f"layers.{index}.mlp": {"a": index % 2} for index in range(12)},
            {"named": [[{"a": 0}, ["layers.<0,2,4,6,8,10>.mlp"]], [{"a": 1}, ["layers.<1,3,5,7,9,11>.mlp"]]]},
        ),
        ({"a": {"b": "c"}}, {"a": {"b": "c"}}),
    ],
)
def test_long_lists_are_written_in_short_and_read_back(value: Any, short: Any) -> None:
    assert compacted(value) == short
    assert expanded(short) == value


def test_experts_of_a_layer_are_one_name() -> None:
    names = [f"model.layers.{layer}.mlp.experts.{expert}.up" for layer in range(4) for expert in range(4)]
    assert compacted(["lm_head", *names]) == ["lm_head", "model.layers.<0-3>.mlp.experts.*.up"]
