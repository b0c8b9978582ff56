"""Weights of catalogued models, counted from their layers, against sizes that are published."""

import pytest

from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_lookup import model_card
from inferplan.estimate.tensors import layer_tensors


def parameters(card: ModelCard) -> int:
    layers = sum(tensor.parameters for layer in card.layers for tensor in layer_tensors(layer, card.hidden_size))
    embeddings = card.vocab_size * card.hidden_size * (1 if card.tied_embeddings else 2)
    return layers + embeddings + card.extra_parameters + sum(tower.parameters for tower in card.towers)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        # keras-team/keras-hub 71453d0, keras_hub/src/models/*/*_presets.py; 23,572,403,200 is of Magistral Small, alike
        ("meta-llama/Meta-Llama-3.1-8B", 8_030_261_248),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-32B", 32_762_123_264),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("Qwen/Qwen3-235B-A22B", 235_093_634_560),
        ("Qwen/Qwen2.5-72B-Instruct", 72_706_203_648),
        ("Qwen/Qwen2.5-Math-1.5B", 1_543_714_304),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("mistralai/Mistral-Small-24B-Instruct-2501", 23_572_403_200),
        ("google/gemma-7b", 8_537_680_896),
        ("google/gemma-2-27b", 27_227_128_320),
        ("google/gemma-3-1b-it", 999_885_952),
        ("openai/gpt-oss-20b", 20_914_757_184),
        # debaditc/kvfit bd4ccab, scripts/build_registry.py: totals of the hub's safetensors
        ("meta-llama/Llama-3.2-3B", 3_212_749_824),
        ("mistralai/Mistral-Nemo-Instruct-2407", 12_247_782_400),
        ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", 24_011_361_280),
        ("google/gemma-3-4b-it", 4_300_079_472),
        ("google/gemma-3-27b-it", 27_432_406_640),
        ("microsoft/phi-4", 14_659_507_200),
        ("microsoft/Phi-4-mini-instruct", 3_836_021_760),
        ("moonshotai/Kimi-K2-Instruct", 1_026_408_235_864),
        # beside the model's name in public code of unnamed repositories: totals of the hub, transformers or llama.cpp
        ("meta-llama/Meta-Llama-3.1-405B", 405_853_388_800),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("tiiuae/Falcon3-1B-Instruct", 1_669_408_768),
        ("HuggingFaceTB/SmolLM2-1.7B", 1_711_376_384),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1_777_088_000),
        ("mistralai/Mistral-Large-Instruct-2411", 122_610_069_504),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696),
        ("MiniMaxAI/MiniMax-M2.5", 228_689_764_864),  # of M2, M2.1 and M2.7, which have its shape
        ("deepseek-ai/DeepSeek-V3", 671_026_419_200),  # without the MTP layer
        ("zai-org/GLM-4.7", 352_797_829_024),  # without the MTP layer
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31_577_940_288),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 401_583_781_376),  # 0.9 billion an encoder this config lacks
    ],
)
def test_a_model_has_the_weights_that_are_published(model: str, published: int) -> None:
    card = model_card(None, model)
    assert isinstance(card, ModelCard), card
    assert parameters(card) == pytest.approx(published, rel=0.003)


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        # as names, cards and resellers round them; GLM-5's as siliconflow.com has it, with its MTP layer
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", 235),
        ("deepseek-ai/DeepSeek-V4-Flash", 284),
        ("zai-org/GLM-5", 750),
        ("zai-org/GLM-4.5-Air", 106),
        ("Qwen/Qwen3.5-397B-A17B", 397),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 80),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8", 120),
        ("nvidia/Nemotron-H-56B-Base-8K", 56),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", 49),
        ("XiaomiMiMo/MiMo-V2-Flash", 309),
    ],
)
def test_a_model_is_about_as_large_as_its_name_says(model: str, billions: float) -> None:
    card = model_card(None, model)
    assert isinstance(card, ModelCard), card
    assert parameters(card) / 1e9 == pytest.approx(billions, rel=0.02)
