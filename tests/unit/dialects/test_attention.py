"""Attention backends by release, GPU and number format: vLLM's selector, what was read of older ones, and SGLang."""

import pytest

from inferplan.dialects.attention import V0, is_shipped, kv_cache_backends, sglang_backends


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
    ("version", "capability", "backends"),
    [
        ("0.8.5", 90, ("FLASH_ATTN",)),
        ("0.8.5", 80, (V0,)),
        ("0.9.2", 100, (V0,)),
        ("0.10.2", 89, (V0,)),
        ("0.10.2", 100, ("FLASHINFER",)),
        ("0.11.0", 89, ("TRITON_ATTN",)),
        ("0.11.0", 86, ()),
        ("0.11.0", 120, ("TRITON_ATTN",)),
        ("0.18.1", 90, ("FLASH_ATTN", "FLASHINFER", "TRITON_ATTN")),
        ("0.18.1", 89, ("FLASHINFER", "TRITON_ATTN")),
        ("0.18.1", 80, ("FLASHINFER",)),
        ("0.25.1", 100, ("FLASHINFER", "TRITON_ATTN")),
        ("0.32.0", 120, ("FLASHINFER", "TRITON_ATTN")),
    ],
)
def test_fp8_by_release(version: str, capability: int, backends: tuple[str, ...]) -> None:
    assert kv_cache_backends(version, capability, "fp8") == backends


@pytest.mark.parametrize(
    ("version", "capability", "backends"),
    [
        ("0.9.2", 90, ()),  # FlashMLA raises
        ("0.10.2", 90, ("FLASHMLA",)),
        ("0.10.2", 100, ("CUTLASS_MLA",)),
        ("0.11.0", 89, ()),
        ("0.17.1", 89, ()),  # Triton's raises
        ("0.20.2", 89, ("TRITON_MLA",)),
        ("0.32.0", 90, ("FLASHMLA", "TRITON_MLA")),
    ],
)
def test_a_latent_cache_in_fp8_by_release(version: str, capability: int, backends: tuple[str, ...]) -> None:
    assert kv_cache_backends(version, capability, "fp8", mla=True) == backends


@pytest.mark.parametrize(("version", "backends"), [("0.19.1", ()), ("0.20.2", ("TRITON_ATTN",)), ("0.9.2", ())])
def test_int8_came_with_0_20(version: str, backends: tuple[str, ...]) -> None:
    assert kv_cache_backends(version, 80, "int8_per_token_head") == backends


@pytest.mark.parametrize(
    ("version", "capability", "kv_dtype"),
    [
        (None, 90, "fp8"),
        ("latest", 90, "fp8"),
        ("0.7.3", 90, "fp8"),
        ("0.8.1", 90, "fp8"),  # 0.8.5 was read, and nothing before it
        ("0.34.0", 90, "fp8"),
        ("0.33.0", 121, "fp8"),
        ("0.33.0", None, "fp8"),
        ("0.33.0", 90, "octave_k3v4"),
    ],
)
def test_what_was_not_read_is_not_known(version: str | None, capability: int | None, kv_dtype: str) -> None:
    assert kv_cache_backends(version, capability, kv_dtype) is None


@pytest.mark.parametrize(
    ("version", "as_version"),
    [
        ("v0.33.1", "0.33.0"),  # the newest that was read
        ("0.14.0", "0.14.1"),  # 0.13.0 says the same
        ("0.10.1", "0.10.1.1"),
        ("0.11.3", "0.11.2"),
    ],
)
def test_patch_releases_have_the_kernels_of_those_that_were_read(version: str, as_version: str) -> None:
    assert kv_cache_backends(version, 90, "fp8") == kv_cache_backends(as_version, 90, "fp8")


def test_an_older_patch_release_is_not_taken_for_a_newer_one() -> None:
    assert kv_cache_backends("0.20.2", 89, "int8_per_token_head") == ("TRITON_ATTN",)
    assert kv_cache_backends("0.20.0", 89, "int8_per_token_head") is None  # 0.19.1 has none


@pytest.mark.parametrize(
    ("version", "capability", "backends"),
    [
        ("0.4.6.post5", 80, ("flashinfer",)),
        ("0.4.6.post5", 90, None),
        ("0.4.9.post3", 90, ("fa3", "flashinfer")),
        ("0.5.5.post3", 100, None),
        ("0.5.8", 100, ("trtllm_mha", "flashinfer")),
        ("0.5.23", 120, ("flashinfer",)),
        ("0.5.24", 90, None),
        ("0.5.23", 75, None),
        ("0.5.23", None, None),
        (None, 90, None),
    ],
)
def test_sglang_keeps_its_backend_in_fp8(
    version: str | None, capability: int | None, backends: tuple[str, ...] | None
) -> None:
    assert sglang_backends(version, capability) == backends


def test_vllm_ships_flash_attention_triton_and_its_mla_kernels() -> None:
    shipped = ("FLASH_ATTN", "TRITON_ATTN", "TRITON_MLA", "FLASHMLA", "CUTLASS_MLA")
    assert all(map(is_shipped, shipped))
    assert not any(map(is_shipped, ("FLASHINFER", "FLASHINFER_MLA", V0)))
