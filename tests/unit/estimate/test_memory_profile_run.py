"""The activation peak against start-up logs, and the samplers of vLLM's releases."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.build import LLAMA, a

from inferplan.domain.architecture import LatentAttention, Layer, MixtureOfExperts
from inferplan.domain.model_card import ModelCard
from inferplan.domain.units import GIB, MIB
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.profile_run import ProfileRun, Share, profile_run
from inferplan.estimate.release import Release, release_of
from inferplan.estimate.sampler_memory import sampler_memory

QWEN3_32B = a.model(
    architecture="Qwen3ForCausalLM",
    hidden_size=5120,
    vocab_size=151_936,
    num_layers=64,
    heads=64,
    intermediate_size=25_600,
)
DEEPSEEK = replace(
    LLAMA,
    architecture="DeepseekV3ForCausalLM",
    hidden_size=7168,
    layers=(Layer(LatentAttention(128, 1536, 512, 128, 64, 128), MixtureOfExperts(256, 8, 2048, 2048)),) * 61,
)


def run(
    card: ModelCard, release: Release, *, tensor: int = 1, capability: int = 90, legacy: bool = False
) -> ProfileRun:
    share = Share(release, tensor, tensor, 2, compiled=not legacy, capability=capability)
    return profile_run(card, share, sampler_memory(release, card.architecture, legacy=legacy))


def peak(card: ModelCard, release: Release, tokens: int, sequences: int, **share: int) -> float:
    limits = Limits(0.9, sequences, tokens, 16_000)
    return round(float(run(card, release, **share).peak_bytes(limits)) / GIB, 2)


def test_the_peak_is_that_of_logs_of_a_sorting_sampler() -> None:
    # H100, 8192 tokens, 1024 sequences (kv_capacity_cases kv-llmd-05, -07, -08)
    assert peak(LLAMA, (0, 11, 2), 8192, 1024) == 4.76
    assert peak(QWEN3_32B, (0, 11, 2), 8192, 1024) == 5.64
    assert peak(QWEN3_32B, (0, 11, 2), 8192, 1024, tensor=2) == 5.64  # every rank gathers all logits


@pytest.mark.parametrize(("tokens", "gib"), [(20_000, 2.07), (29_000, 2.99)])
def test_the_peak_is_that_of_logs_whose_layers_are_wider(tokens: int, gib: float) -> None:
    # RTX 3090, vLLM 0.6.4, 256 sequences (kv-gh10517-1, -2): tokens x (86,016 + 3 x 8192) + 8.125 MiB
    limits = Limits(0.9, 256, tokens, tokens)
    found = run(LLAMA, (0, 6, 4), capability=86, legacy=True).peak_bytes(limits)
    assert round(float(found) / GIB, 2) == gib
    assert float(found) == tokens * 110_592 + 8.125 * MIB


@pytest.mark.parametrize(
    ("release", "architecture", "sequences", "bytes_per_logit"),
    [
        ((0, 6, 6), "LlamaForCausalLM", 256, 38),
        ((0, 10, 2), "LlamaForCausalLM", 256, 38),
        ((0, 16, 0), "LlamaForCausalLM", 128, 38),
        ((0, 16, 0), "LlamaForCausalLM", 127, 50),
        ((0, 17, 1), "LlamaForCausalLM", 8, 14),
        ((0, 20, 2), "LlamaForCausalLM", 7, 50),
        ((0, 21, 0), "LlamaForCausalLM", 7, 14),
        ((0, 22, 1), "Qwen3ForCausalLM", 256, 2),
        ((0, 22, 1), "LlamaForCausalLM", 256, 14),
        ((0, 23, 0), "LlamaForCausalLM", 256, 2),
        ((0, 28, 0), "LlamaForCausalLM", 256, 14),  # 0.25 took most models off the list
        ((0, 28, 0), "DeepseekV2ForCausalLM", 256, 2),
        ((0, 30, 0), "AnyForCausalLM", 256, 2),
        ((0, 33, 0), "AnyForCausalLM", 256, 14),
    ],
)
def test_each_release_samples_its_way(
    release: Release, architecture: str, sequences: int, bytes_per_logit: int
) -> None:
    sampler = sampler_memory(release, architecture, legacy=release < (0, 8, 0))
    assert (sampler.few if sequences < sampler.many_from else sampler.many) == bytes_per_logit


def test_what_the_second_runner_does_not_support_runs_on_the_first() -> None:
    assert sampler_memory((0, 30, 0), "AnyForCausalLM", unsupported_by_v2=True).many == 14


@pytest.mark.parametrize(("release", "least"), [((0, 7, 3), 0), ((0, 8, 5), 14), ((0, 11, 0), 14), ((0, 11, 1), 0)])
def test_some_releases_take_flashinfer_where_it_is_installed(release: Release, least: int) -> None:
    assert sampler_memory(release, "LlamaForCausalLM", legacy=release < (0, 8, 0)).least == least


def test_no_more_sequences_are_sampled_than_tokens_are_run() -> None:
    few, many = (float(run(LLAMA, (0, 16, 0)).sampler_bytes(Limits(0.9, rows, 128, 4096))) for rows in (128, 1024))
    assert few == many


def test_latent_attention_expands_its_context() -> None:
    short, long = (
        run(DEEPSEEK, (0, 28, 0), tensor=8).layers_bytes(Limits(0.9, 1, 1, context)) for context in (1, 9000)
    )
    # 65,536 tokens at most, 8 of them for a context of 1: x (128 / 8 x 256 + 576) x 2 bytes
    assert float(long) - float(short) == (65_536 - 8) * 4672 * 2


@pytest.mark.parametrize(
    ("release", "values"),
    [((0, 11, 2), 8 * (7168 + 256) + 7168), ((0, 18, 1), 8 * (7168 + 7168) + 7168)],  # 2048 / 8 = 256
)
def test_experts_need_scratch_for_each_of_a_tokens_experts(release: Release, values: int) -> None:
    assert run(DEEPSEEK, release, tensor=8).experts_bytes_per_token == 2 * values


def test_experts_run_in_chunks_where_the_release_has_them() -> None:
    old, new = (run(DEEPSEEK, release, tensor=8) for release in ((0, 17, 1), (0, 18, 1)))
    assert (old.experts_tokens, new.experts_tokens >= 10**9) == (16_384, True)


def test_thousands_of_limits_give_what_each_gives_alone() -> None:
    sequences, tokens = np.array([1, 64, 128, 512]), np.array([512, 2048, 8192, 16_384])
    asked = run(DEEPSEEK, (0, 16, 0), tensor=8)
    together = asked.peak_bytes(Limits(0.9, sequences, tokens, 4096))
    alone = [
        float(asked.peak_bytes(Limits(0.9, int(rows), int(batch), 4096)))
        for rows, batch in zip(sequences, tokens, strict=True)
    ]
    assert np.asarray(together).tolist() == alone


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("0.8.5.post1", (0, 8, 5)),
        ("v0.12", (0, 12, 0)),
        ("0.11.0+cu128", (0, 11, 0)),
        ("latest", None),
        (None, None),
        ("1", None),
    ],
)
def test_releases_are_read_from_versions(text: str | None, release: Release | None) -> None:
    assert release_of(text) == release
