"""Attention backends by GPU and number format (vLLM 0.33.0's selector, engine-facts section 2d)."""

import pytest

from inferplan.dialects.attention import is_shipped, kv_cache_backends


@pytest.mark.parametrize(
    ("capability", "kv_dtype", "backends"),
    [
        (90, "auto", ("FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION")),
        (100, "auto", ("FLASHINFER", "FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION")),
        (90, "fp8", ("FLASH_ATTN", "FLASHINFER", "TRITON_ATTN")),
        (90, "fp8_e5m2", ("FLASHINFER", "TRITON_ATTN")),
        (89, "fp8", ("FLASHINFER", "TRITON_ATTN")),
        (80, "int8_per_token_head", ("TRITON_ATTN",)),
    ],
)
def test_backends_come_in_the_engines_order(capability: int, kv_dtype: str, backends: tuple[str, ...]) -> None:
    assert kv_cache_backends("0.33.0", capability, kv_dtype) == backends


@pytest.mark.parametrize(
    ("capability", "kv_dtype", "backends"),
    [
        (75, "fp8", ()),  # the selector allows TRITON_ATTN, whose kernel raises below 8.9
        (86, "fp8_e4m3", ("FLASHINFER",)),
        (80, "fp8_per_token_head", ()),
        (75, "int8_per_token_head", ("TRITON_ATTN",)),  # no fp8: the guard does not look at it
    ],
)
def test_triton_refuses_fp8_below_ada(capability: int, kv_dtype: str, backends: tuple[str, ...]) -> None:
    assert kv_cache_backends("0.33.0", capability, kv_dtype) == backends


def test_latent_attention_has_backends_of_its_own() -> None:
    assert kv_cache_backends("0.33.0", 90, "fp8", mla=True) == ("FLASHMLA", "TRITON_MLA")
    assert kv_cache_backends("0.33.0", 90, "fp8_e5m2", mla=True) == ()


@pytest.mark.parametrize(
    ("version", "capability", "kv_dtype"),
    [
        ("0.32.0", 90, "fp8"),
        (None, 90, "fp8"),
        ("latest", 90, "fp8"),
        ("0.33.0", 121, "fp8"),
        ("0.33.0", None, "fp8"),
        ("0.33.0", 90, "octave_k3v4"),
    ],
)
def test_what_the_selector_was_not_asked_is_not_known(
    version: str | None, capability: int | None, kv_dtype: str
) -> None:
    assert kv_cache_backends(version, capability, kv_dtype) is None


def test_patch_releases_have_the_same_kernels() -> None:
    assert kv_cache_backends("v0.33.1", 90, "fp8") == kv_cache_backends("0.33.0", 90, "fp8")


def test_vllm_ships_flash_attention_and_triton() -> None:
    assert [is_shipped(name) for name in ("FLASH_ATTN", "TRITON_ATTN", "TRITON_MLA", "FLASHINFER")] == [
        True,
        True,
        True,
        False,
    ]
