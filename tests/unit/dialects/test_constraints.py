"""What engines refuse and ignore: for each rule a configuration that breaks it and one that does not.

The vLLM cases are configurations that these releases' own config resolution accepted or refused, on faked GPUs.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.build import H100, a
from tests.support.constraint_cases import EIGHT, IGNORED, NGRAM, RULES, SHORT, T4, Try, quantized

from inferplan.api.values import Engine
from inferplan.dialects import constraints
from inferplan.dialects.constraints import Severity, violations
from inferplan.dialects.effective import effective
from inferplan.dialects.registry import releases
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator
from inferplan.domain.model_card import ModelCard


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leaves one rule of that name."""

    def keep(engine: Engine, name: str) -> None:
        rules = {rule.__name__: rule for rule in constraints.RULES[engine]}
        monkeypatch.setattr(constraints, "RULES", {engine: (rules[name],)})

    return keep


@pytest.mark.parametrize(("name", "severity", "broken", "kept"), RULES, ids=[f"{row[0]}-{row[1]}" for row in RULES])
def test_each_rule_is_broken_by_one_configuration_and_kept_by_another(
    name: str, severity: Severity, broken: Try, kept: Try, only: Any
) -> None:
    only(broken.engine, name)
    (found,) = broken.violations()
    assert found.severity is severity
    assert found.keys
    assert found.source
    assert severity not in {violation.severity for violation in kept.violations()}


@pytest.mark.parametrize("engine", Engine)
def test_every_rule_has_a_case(engine: Engine) -> None:
    names = [rule.__name__ for rule in constraints.RULES[engine]]
    assert sorted(set(names)) == sorted({row[0] for row in RULES if row[2].engine is engine})
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_a_plain_configuration_violates_nothing(version: str) -> None:
    assert Try(version, {"max_model_len": 4096, "gpu_memory_utilization": 0.9, "max_batch_size": 64}).violations() == ()


def test_a_reason_has_the_numbers() -> None:
    (found,) = Try("0.33.0", {"max_num_batched_tokens": 64, "max_batch_size": 128}, model=None).violations()
    assert found.reason == ("max_num_batched_tokens 64 is less than max_batch_size 128; it must be at least that")
    assert found.keys == ("max_num_batched_tokens", "max_batch_size")


def test_between_two_releases_both_must_refuse() -> None:
    long = {"long_prefill_token_threshold": 9000}
    assert Try("0.27.2", long).violations()  # 0.27.1 and 0.28.0
    assert not Try("0.26.5", long).violations()  # 0.26.0 accepts it


@pytest.mark.parametrize("version", [None, "latest"])
def test_of_an_unknown_version_only_what_no_release_accepts_is_refused(version: str | None) -> None:
    assert [found.keys[0] for found in Try(version, {"tensor_parallel_size": 3}).violations()] == [
        "tensor_parallel_size",
        "tensor_parallel_size",
    ]
    assert not Try(version, {"quantization": "bitsandbytes"}).violations()
    assert Try(version, {"quantization": "int8"}).violations()


def test_a_key_that_somebody_set_counts_as_given_whatever_its_origin() -> None:
    runs = effective(a.config(kv_cache_memory_bytes=2**30), H100)
    assert not violations(runs, H100, None)
    (found,) = violations(runs, H100, None, frozenset({"gpu_memory_utilization"}))
    assert found.severity is IGNORED


def test_a_setting_that_could_not_be_read_violates_nothing() -> None:
    config = a.config(tensor_parallel_size=16)
    assert [found.keys for found in violations(config, EIGHT, None)]
    assert not violations(config, EIGHT, None, unknown=frozenset({"nnodes"}))


def test_without_gpu_and_model_their_rules_are_silent() -> None:
    config = a.config(tensor_parallel_size=3, quantization="awq", kv_cache_dtype="fp8", max_model_len=10**6)
    assert violations(config, UNKNOWN_ACCELERATOR, None) == ()


KEYS = sorted({key for row in RULES for side in row[2:] for key in side.settings})
VALUES = st.one_of(
    st.integers(-2, 2**40),
    st.floats(allow_nan=True),
    st.booleans(),
    st.sampled_from(["auto", "none", "fp8", "awq", "off", "{", NGRAM, "", "FLASH_ATTN"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    engine=st.sampled_from(list(Engine)),
    version=st.sampled_from([None, "latest", "0.5.23", "0.5.6", "0.6.6", "0.9.2", "0.10.1", "0.20.0", "0.33.0", "9.9"]),
    stated=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6),
    gpu=st.sampled_from([UNKNOWN_ACCELERATOR, EIGHT, T4, Accelerator("X", 0, 1, 0)]),
    model=st.sampled_from([None, SHORT, quantized("awq"), a.model(max_position_embeddings=None)]),
)
def test_nothing_raises_for_any_configuration(
    engine: Engine, version: str | None, stated: dict[str, Any], gpu: Accelerator, model: ModelCard | None
) -> None:
    for found in Try(version, stated, gpu, model, engine=engine).violations():
        assert "\n" not in found.reason
        assert set(found.keys)
