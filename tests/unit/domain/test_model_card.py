"""config.json → geometry, or a reason."""

from typing import Any

import pytest
from tests.support.build import LLAMA, LLAMA_CONFIG

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config


def read(**changes: Any) -> ModelCard | Missing:
    return read_model_config({**LLAMA_CONFIG, **changes})


def refusal(**changes: Any) -> str:
    card = read(**changes)
    assert isinstance(card, Missing)
    assert card.code is Reason.MODEL_UNSUPPORTED
    return card.reason


def card(**changes: Any) -> ModelCard:
    result = read(**changes)
    assert isinstance(result, ModelCard), result
    return result


def test_llama_3_1_8b_is_read() -> None:
    assert read() == LLAMA


def test_what_is_left_out_has_the_models_own_default() -> None:
    assert card(num_key_value_heads=None).kv_heads == 32
    assert card(head_dim=64).head_dim == 64
    assert card(head_dim=None).head_dim == 128  # 4096 / 32
    assert card(torch_dtype=None, dtype="float16").weight_bits == 16
    assert card(torch_dtype="float32").weight_bits == 32
    assert card(tie_word_embeddings=True).tied_embeddings
    assert card(max_position_embeddings=None).max_position_embeddings is None


@pytest.mark.parametrize(
    ("scaling", "longest"),
    [
        (None, 131_072),
        ({"rope_type": "llama3", "factor": 8.0}, 131_072),
        ({"type": "yarn", "factor": 4.0}, None),  # releases differ in what is stretched
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),  # 4 x 32,768
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}, None),
        ({"rope_type": "linear", "factor": 2.0}, None),
        ({"full_attention": {"rope_type": "proportional"}, "sliding_attention": {"rope_type": "default"}}, 131_072),
        ("yarn", None),
    ],
)
def test_a_stretched_context_is_not_known(scaling: object, longest: int | None) -> None:
    assert card(rope_scaling=scaling).max_position_embeddings == longest


@pytest.mark.parametrize(
    ("quantization", "method"),
    [(None, None), ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq"), ({}, None)],
)
def test_a_quantized_checkpoint_says_so(quantization: object, method: str | None) -> None:
    assert card(quantization_config=quantization).quantization_method == method


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["JambaForCausalLM"]}, "architecture 'JambaForCausalLM' is not sized yet"),
        ({"architectures": "LlamaForCausalLM"}, "architectures must be a list of names, not 'LlamaForCausalLM'"),
        ({"architectures": [7]}, "architectures must be a list of names, not [7]"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers must be a whole number from 1 to 2048"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must"),
        ({"num_hidden_layers": True}, "num_hidden_layers must"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers must"),
        ({"num_hidden_layers": float("nan")}, "num_hidden_layers must"),
        ({"num_hidden_layers": None}, "num_hidden_layers must"),
        ({"num_key_value_heads": 5}, "num_attention_heads 32 is no multiple of num_key_value_heads 5"),
        ({"num_key_value_heads": 64}, "num_attention_heads 32 is no multiple"),
        ({"hidden_size": 4, "num_attention_heads": 8, "num_key_value_heads": 8}, "hidden_size 4 is no multiple"),
        ({"torch_dtype": "int8"}, "torch_dtype 'int8' is none of"),
        ({"torch_dtype": ["bfloat16"]}, "torch_dtype"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        ({"quantization_config": "odd"}, "quantization_config must be an object"),
    ],
)
def test_what_cannot_be_sized_with_confidence_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(**changes)


def test_a_refusal_quotes_little_of_what_others_wrote() -> None:
    assert len(refusal(hidden_size="x" * 100_000)) < 200
    assert len(refusal(architectures=["x" * 100_000])) < 200
