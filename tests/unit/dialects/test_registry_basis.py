"""Which release speaks for a version, and what may be proposed for it."""

from itertools import pairwise

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.registry import Basis, FlagSpec, Release, basis, proposable, release
from inferplan.dialects.version_order import version_number

VLLM, SGLANG, TGI = Engine.VLLM, Engine.SGLANG, Engine.TGI


def test_versions_are_in_the_order_of_their_publication() -> None:
    ordered = ["0.9.2.dev1", "0.9.2a1", "0.9.2rc1", "0.9.2rc2", "0.9.2", "0.9.2.post1", "0.10.0", "0.10.1.1", "0.11.1"]
    numbers = [version_number(text) for text in ordered]
    known = [number for number in numbers if number is not None]
    assert len(known) == len(ordered)
    assert all(older < newer for older, newer in pairwise(known))


@pytest.mark.parametrize("text", ["0.9.2x", "v", "1.", "latest-0.9.2", "1.2.3.4.5.6.7", "0.9.2\n\n0"])
def test_what_is_no_version_has_no_place_in_the_order(text: str) -> None:
    assert version_number(text) is None


@pytest.mark.parametrize(
    ("version", "nearest", "also"),
    [
        ("0.33.0", "0.33.0", None),
        ("v0.11.0", "0.11.0", None),
        ("0.11.0+cu128", "0.11.0", None),
        ("0.10.1.1", "0.10.1.1", None),
        ("0.12", "0.12.0", None),
        ("0.14.0", "0.14.1", "0.13.0"),  # the same minor on the newer side
        ("0.11.3", "0.11.2", "0.12.0"),  # the same minor on the older side
        ("0.10.1", "0.10.1.1", "0.10.0"),
        ("0.7.3.post1", "0.7.3", "0.8.5"),
        ("v0.9.2rc1", "0.9.2", "0.8.5"),
        ("0.12.0.dev3", "0.12.0", "0.11.2"),
        ("0.11.1rc3.dev5+gabcdef", "0.11.1", "0.11.0"),
        ("0.34.0", "0.33.0", "0.32.0"),
        ("1.0.0", "0.33.0", "0.32.0"),
    ],
)
def test_the_nearest_release_speaks_for_a_version(version: str, nearest: str, also: str | None) -> None:
    spoken = basis(VLLM, version)
    assert spoken is not None
    assert spoken.release.version == nearest
    assert (spoken.also.version if spoken.also else None) == also
    assert spoken.exact is (also is None)


def test_of_two_neighbours_without_a_common_minor_the_older_speaks() -> None:
    spoken = basis(SGLANG, "0.5.7")
    assert spoken is not None
    assert spoken.also is not None
    assert (spoken.release.version, spoken.also.version) == ("0.5.5.post3", "0.5.8")


@pytest.mark.parametrize("version", [None, "", "latest", "main", "0.6.5", "nightly-0.9", "0.6.6rc1"])
def test_no_release_speaks_for_what_is_older_or_no_version(version: str | None) -> None:
    assert basis(VLLM, version) is None


@pytest.mark.parametrize(("version", "exact"), [("3", True), ("3.3.5", True), ("3.0.0", True), ("4.0.0", False)])
def test_one_entry_stands_for_all_of_tgi_3(version: str, exact: bool) -> None:
    spoken = basis(TGI, version)
    assert spoken is not None
    assert (spoken.release.version, spoken.also, spoken.exact) == ("3", None, exact)
    assert basis(TGI, "2.4.1") is None


def proposed(version: str, dest: str, engine: Engine = VLLM) -> FlagSpec | None:
    spoken = basis(engine, version)
    assert spoken is not None
    return proposable(spoken, dest)


def test_a_known_release_proposes_its_own_flags() -> None:
    assert proposed("0.33.0", "max_num_seqs") is release(VLLM, "0.33.0").named("max_num_seqs")
    assert proposed("0.33.0", "swap_space") is None
    assert proposed("0.33.0", "model_tag") is None  # a positional argument
    assert proposed("0.12.0", "attention_backend") is None  # only a variable


def test_between_two_releases_only_what_both_have_is_proposed() -> None:
    assert proposed("0.18.0", "swap_space") is None  # 0.18.1 lost it, 0.17.1 has it
    assert proposed("0.10.1", "kv_cache_memory_bytes") is None
    assert proposed("0.12.5", "attention_backend") is None  # a variable in 0.12.0
    assert proposed("0.14.0", "max_model_len") is None  # "auto" only from 0.14.1
    assert proposed("0.14.0", "max_num_seqs") is not None


def test_choices_and_spellings_that_only_one_of_both_has_are_left_out() -> None:
    kv_cache = proposed("0.18.0", "kv_cache_dtype")
    assert kv_cache is not None
    assert "float16" not in kv_cache.choices
    prefix_caching = proposed("0.32.5", "enable_prefix_caching")
    assert prefix_caching is not None
    assert prefix_caching.negations == ("--no-enable-prefix-caching",)


def test_a_default_that_changed_between_the_two_is_not_known() -> None:
    share = proposed("0.20.0", "gpu_memory_utilization")
    assert share is not None
    assert share.default is None


def test_flags_without_a_common_choice_are_not_proposed() -> None:
    one = FlagSpec("mode", ("--mode",), choices=("a",))
    other = FlagSpec("mode", ("--mode",), choices=("b",))
    real = basis(VLLM, "0.34.0")
    assert real is not None
    assert real.also is not None
    spoken = Basis(real.version, with_flags(real.release, one), with_flags(real.also, other), exact=False)
    assert proposable(spoken, "mode") is None


def with_flags(known: Release, *flags: FlagSpec) -> Release:
    return Release(known.engine, known.version, flags, known.rules)
