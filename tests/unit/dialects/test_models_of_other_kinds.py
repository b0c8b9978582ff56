"""What releases do with models that are no plain decoders: said where it is certain, else nothing."""

from tests.support.build import H100, a
from tests.support.models import GPT_OSS, QWEN_MOE, card_of, config

from inferplan.dialects.constraints import violations
from inferplan.dialects.effective import effective
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_lookup import model_card


def catalogued(model_id: str) -> ModelCard:
    card = model_card(None, model_id)
    assert isinstance(card, ModelCard)
    return card


HYBRID = catalogued("Qwen/Qwen3.5-27B")
LATENT = catalogued("deepseek-ai/DeepSeek-V3")
WINDOWED = card_of(GPT_OSS)


def test_prefix_caching_of_hybrids_is_not_said() -> None:
    assert effective(a.config(), H100, model=HYBRID).value("enable_prefix_caching") is None
    assert effective(a.config(), H100, model=LATENT).value("enable_prefix_caching") is True


def test_blocks_of_other_attention_are_not_said() -> None:
    for card in (HYBRID, LATENT, WINDOWED):
        assert effective(a.config(), H100, model=card).value("block_size") is None


def test_v0_does_not_say_whether_it_chunks_other_models() -> None:
    assert effective(a.config(version="0.6.6"), H100, model=WINDOWED).value("enable_chunked_prefill") is None
    assert effective(a.config(version="0.6.6"), H100, model=WINDOWED).value("max_num_batched_tokens") is None


def test_rules_of_heads_and_experts_fit_the_model() -> None:
    expert_parallel = effective(a.config(enable_expert_parallel=True), H100, model=WINDOWED)
    assert violations(expert_parallel, H100, WINDOWED) == ()
    moe = card_of(config("Qwen3MoeForCausalLM", **QWEN_MOE))
    quantized = effective(a.config(quantization="experts_int8"), H100, model=moe)
    assert not [found for found in violations(quantized, H100, moe) if "quantizes experts only" in found.reason]
    split = effective(a.config(tensor_parallel_size=3), H100, model=LATENT)
    whys = [found.reason for found in violations(split, H100, LATENT)]
    assert any("128 attention heads" in why for why in whys)
    assert not any("KV heads" in why for why in whys)
