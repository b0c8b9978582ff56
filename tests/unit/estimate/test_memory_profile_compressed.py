"""What DeepSeek V4's attention holds while vLLM profiles, by the shapes that its forward pass allocates."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.kv_models import DEEPSEEK_V4_FLASH, LLAMA_8B, card_of, compressed

from inferplan.domain.units import MIB
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.profile_compressed import CompressedRun, compressed_run
from inferplan.estimate.profile_run import Share, profile_run
from inferplan.estimate.release import Release
from inferplan.estimate.sampler_memory import sampler_memory

CARD = replace(DEEPSEEK_V4_FLASH, residual_streams=4)
LATEST: Release = (0, 33, 0)
LIMITS = Limits(0.9, 64, 16_384, 131_072)


def run(release: Release = LATEST, tensor: int = 8) -> CompressedRun:
    found = compressed_run(CARD, release, tensor)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("release", "tensor", "held"),
    [
        # 2 x 64 x 512 x 2 of padded heads, 6,144 + 8,192 + 2,048 + 8,192 beside; 5 streams of 4,096 x 2
        (LATEST, 8, 155_648 + 40_960),
        (LATEST, 1, 155_648 + 40_960),
        ((0, 21, 0), 8, 155_648 + 40_960 - 56 * 1024),  # queries of 8 heads
    ],
)
def test_heads_are_padded_for_the_kernel(release: Release, tensor: int, held: int) -> None:
    assert run(release, tensor).bytes_per_token == held
    assert run(release, tensor).attention_bytes(1000) == 1000 * held + 512 * MIB


def test_more_heads_than_64_are_padded_to_128() -> None:
    card = card_of([replace(compressed(1), heads=96)])
    found = compressed_run(card, LATEST, 1)
    assert found is not None
    # streams 2 x 4096 x 2; a window only has neither compressor nor indexer
    assert found.bytes_per_token == 16_384 + 2 * 128 * 1024 + 6144
    assert found.logits_bytes == 0
    assert found.workspace_bytes(LIMITS) == 4 * (128 + 16_384) * 1024 + (128 + 1) * 4 * 16_384


@pytest.mark.parametrize(
    ("release", "context", "workspace"),
    [
        (LATEST, 131_072, 4 * (32_768 + 128 + 16_384) * 1024 + 641 * 4 * 16_384),
        ((0, 26, 0), 131_072, 4 * (32_768 + 128 + 16_384) * 1024),  # without the places of 640 tokens
        ((0, 31, 0), 1_048_576, 40 * 262_144 * 132 + MIB),  # index keys are more: 1.38 GB
        (LATEST, 1_048_576, 4 * (262_144 + 128 + 16_384) * 1024 + 641 * 4 * 16_384),  # 16 of them are fewer
    ],
)
def test_the_workspace_is_what_is_gathered_most(release: Release, context: int, workspace: int) -> None:
    assert run(release).workspace_bytes(replace(LIMITS, context=context)) == workspace


def test_the_profile_run_counts_the_attention_and_what_stays() -> None:
    share = Share(LATEST, 8, 8, 2, compiled=True, capability=90)
    found = profile_run(CARD, share, sampler_memory(LATEST, CARD.architecture, legacy=False))
    kept = 4 * (32_768 + 128 + 16_384) * 1024 + 641 * 4 * 16_384
    assert found.layers_bytes(LIMITS) == 16_384 * 196_608 + 512 * MIB + kept + 32 * MIB
    without = replace(found, compressed=None)
    assert found.sampler_bytes(LIMITS) - without.sampler_bytes(LIMITS) == kept
    many = replace(LIMITS, tokens=np.array([16_384, 32_768]))
    assert np.asarray(found.layers_bytes(many)).tolist()[0] == found.layers_bytes(LIMITS)


def test_other_models_have_no_such_attention() -> None:
    assert compressed_run(LLAMA_8B, LATEST, 1) is None
