"""Weights of catalogued models, counted from their layers, against the sizes that their publishers state."""

import pytest

from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_lookup import model_card
from inferplan.estimate.tensors import layer_tensors


def parameters(card: ModelCard) -> int:
    layers = sum(tensor.parameters for layer in card.layers for tensor in layer_tensors(layer, card.hidden_size))
    embeddings = card.vocab_size * card.hidden_size * (1 if card.tied_embeddings else 2)
    return layers + embeddings + card.extra_parameters + sum(tower.parameters for tower in card.towers)


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        # exact counts as the hub's safetensors index states them
        ("meta-llama/Meta-Llama-3.1-8B", 8.030),
        ("meta-llama/Meta-Llama-3.1-405B", 405.85),
        ("meta-llama/Llama-3.2-1B", 1.236),
        ("Qwen/Qwen3-0.6B", 0.596),
        ("Qwen/Qwen3-32B", 32.76),
        ("Qwen/Qwen3-30B-A3B", 30.53),
        ("Qwen/Qwen3-235B-A22B", 235.09),
        ("Qwen/Qwen3-VL-8B-Instruct", 8.77),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", 235.67),
        ("Qwen/Qwen2.5-72B-Instruct", 72.71),
        ("deepseek-ai/DeepSeek-V3", 671.03),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1.777),
        ("mistralai/Mixtral-8x7B-v0.1", 46.70),
        ("mistralai/Mistral-Small-24B-Instruct-2501", 23.57),
        ("google/gemma-2-27b", 27.23),
        ("google/gemma-3-27b-it", 27.43),
        ("microsoft/phi-4", 14.66),
        ("openai/gpt-oss-20b", 20.91),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 400.7),  # 401.6 with the encoder that this config leaves out
        # sizes as their names and cards round them
        ("deepseek-ai/DeepSeek-V4-Flash", 284),
        ("moonshotai/Kimi-K2-Instruct", 1026),
        ("MiniMaxAI/MiniMax-M2.5", 229),
        ("zai-org/GLM-5", 744),
        ("Qwen/Qwen3.5-397B-A17B", 397),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 80),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31.6),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8", 120.7),
        ("nvidia/Nemotron-H-56B-Base-8K", 56.3),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", 49.9),
        ("XiaomiMiMo/MiMo-V2-Flash", 309),
        ("zai-org/GLM-4.5-Air", 106.85),
    ],
)
def test_a_model_has_the_weights_that_its_publisher_states(model: str, billions: float) -> None:
    card = model_card(None, model)
    assert isinstance(card, ModelCard), card
    assert parameters(card) / 1e9 == pytest.approx(billions, rel=0.005)
