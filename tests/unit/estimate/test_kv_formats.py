"""Bytes of a cached token by format (engine-facts section 3b; vLLM's own spec classes say the same)."""

import pytest

from inferplan.domain.measurement import Missing
from inferplan.estimate.kv_formats import check_format, head_bytes, latent_bytes

LATEST = (0, 33, 0)


@pytest.mark.parametrize(
    ("kv_format", "size"),
    [
        ("bfloat16", 512),  # 2 x 128 x 2
        ("float32", 1024),
        ("fp8", 256),
        ("fp8_e5m2", 256),
        ("int8_per_token_head", 264),  # 2 x (128 + a scale of 4)
        ("fp8_per_token_head", 264),
        ("int4_per_token_head", 136),  # 2 x (64 + 4)
        ("nvfp4", 144),  # 2 x (64 + 128 / 16 scales)
        ("turboquant_k8v4", 196),  # 128 + 64 + 4
        ("turboquant_4bit_nc", 134),  # 64 + 2, 64 + 4
        ("turboquant_k3v4_nc", 118),  # 48 + 2, 64 + 4
        ("turboquant_3bit_nc", 102),  # 48 + 2, 48 + 4
    ],
)
def test_a_head_of_128_takes_these_bytes_per_token(kv_format: str, size: int) -> None:
    assert head_bytes(kv_format, 128, 128) == size


def test_turboquant_slots_are_even() -> None:
    # head 80, 3 bits: 30 + 2 + 30 + 4 = 66; head 88: 33 + 2 + 33 + 4 = 72; head 84: 32 + 2 + 32 + 4 = 70
    assert [head_bytes("turboquant_3bit_nc", width, width) for width in (80, 88, 84)] == [66, 72, 70]


def test_keys_and_values_may_differ_in_width() -> None:
    assert head_bytes("bfloat16", 192, 128) == 640  # (192 + 128) x 2


def test_half_bytes_that_are_not_packed_take_a_byte() -> None:
    assert head_bytes("nvfp4", 128, 128, packs=False) == 256
    assert head_bytes("int4_per_token_head", 128, 128, packs=False) == 264


@pytest.mark.parametrize(
    ("kv_format", "size"),
    [("bfloat16", 1152), ("fp8", 576), ("fp8_ds_mla", 656), ("nvfp4_ds_mla", 352), ("int8_per_token_head", 584)],
)
def test_a_compressed_vector_of_576_values_takes_these_bytes(kv_format: str, size: int) -> None:
    assert latent_bytes(kv_format, 576) == size


@pytest.mark.parametrize(
    ("kv_format", "release", "latent", "word"),
    [
        ("nvfp4", (0, 19, 1), False, "0.20"),
        ("int4_per_token_head", (0, 24, 0), False, "0.25"),
        ("turboquant_k8v4", LATEST, True, "not sized"),
        ("nvfp4", LATEST, True, "not sized"),
        ("fp8_ds_mla", LATEST, False, "not sized"),
        ("octave_k3v4", LATEST, False, "octave_k3v4"),
        ("auto", LATEST, False, "auto"),
    ],
)
def test_a_format_that_is_not_sized_is_named(
    kv_format: str, release: tuple[int, int, int], latent: bool, word: str
) -> None:
    refusal = check_format(kv_format, release, latent=latent)
    assert isinstance(refusal, Missing)
    assert word in refusal.reason


def test_formats_that_a_release_takes_pass() -> None:
    assert check_format("fp8", (0, 6, 6), latent=False) is None
    assert check_format("bfloat16", (0, 6, 6), latent=False) is None
    assert check_format("nvfp4", (0, 20, 2), latent=False) is None
    assert check_format("fp8_ds_mla", (0, 11, 0), latent=True) is None
