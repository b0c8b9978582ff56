"""A version with defects that a later release mends: one finding, with evidence, advice and no points taken off."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a, an

from inferplan.api.analysis import Analysis, Bottleneck, Severity
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import Layer
from inferplan.domain.measurement import Missing

NO_CARD = Missing(Reason.MODEL_CONFIG_MISSING, "no config.json")
LAYER = LLAMA.layers[0]
WINDOWED = Layer(replace(LAYER.mixer, window=128), LAYER.feed_forward)  # type: ignore[arg-type]
GPT_OSS = replace(LLAMA, layers=(WINDOWED, LAYER))


def running(version: str, load: dict[str, float | None] | None = None, **changes: Any) -> Analysis:
    model = changes.pop("model", LLAMA)
    config = replace(a.config(version=version, max_batch_size=32, **changes), complete=True)
    return analyze(an.serving(config=effective(config, H100), load=load, model=model), ())


def the(seen: Analysis) -> Bottleneck:
    (found,) = [entry for entry in seen.bottlenecks if entry.type == "VersionWithKnownFix"]
    return found


def test_a_defect_is_told_with_its_release_its_threads_and_the_upgrade_that_mends_it() -> None:
    seen = running("0.20.2")
    found = the(seen)
    assert found.severity is Severity.LOW
    assert found.description == (
        "vllm 0.20.2 has defects that this configuration meets: the scheduler keeps the number of every block of the"
        " KV cache that it ever gave out (from 0.17.1 on and before 0.26.0; vllm-project/vllm#44490, #44175)."
    )
    assert found.recommendation == (
        "Try an upgrade to vllm 0.26.0 or later, which fixes a leak of host memory (source:"
        " vllm-project/vllm#44490, #44175)."
    )
    (evidence,) = found.evidence
    assert evidence.value == "affected"
    assert evidence.formula == (
        "vllm 0.20.2 is from 0.17.1 on and before 0.26.0, and runs with layers of full attention and no layers that"
        " keep a state"
    )
    assert found.recommendation in [entry.text for entry in seen.recommendations]
    assert seen.health.score == 100


def test_several_defects_are_one_finding_and_the_upgrade_mends_all_of_them() -> None:
    offload = {"kv_offloading_size": 64, "async_scheduling": True}
    found = the(running("0.25.1", **offload))
    assert len(found.evidence) == 2
    assert found.recommendation is not None
    assert found.recommendation.startswith("Try an upgrade to vllm 0.30.0 or later")


@pytest.mark.parametrize(("version", "changes"), [("0.33.0", {}), ("0.20.2", {"model": NO_CARD}), ("main", {})])
def test_nothing_is_told_of_what_is_not_known_or_not_affected(version: str, changes: dict[str, Any]) -> None:
    assert "VersionWithKnownFix" not in [entry.type for entry in running(version, **changes).bottlenecks]


def test_an_idle_engine_is_told_too() -> None:
    idle = {"num_requests_running": 0.0, "num_requests_running_peak": 0.0, "requests_per_second": 0.0}
    still = {**idle, "generation_tokens_per_second": 0.0, "prompt_tokens_per_second": 0.0}
    seen = running("0.20.2", still)
    assert seen.cause == "Idle"
    assert the(seen)


EAGLE = '{"method": "eagle3", "num_speculative_tokens": 3}'


def test_hits_that_the_version_loses_are_not_blamed_on_the_prompts() -> None:
    without = {"prefix_cache_hit_share": 0.0}
    lost = running("0.14.1", without, model=GPT_OSS, speculative_config=EAGLE)
    assert "PrefixCacheUseless" not in [entry.type for entry in lost.bottlenecks]
    assert the(lost).recommendation == (
        "Try an upgrade to vllm 0.26.0 or later, which fixes a prefix cache without hits under EAGLE and MTP (source:"
        " vllm-project/vllm#33524, #32802); and does not bring what releases in between do: a leak of host memory"
        " (source: vllm-project/vllm#44490, #44175)."
    )
    mended = running("0.15.1", without, model=GPT_OSS, speculative_config=EAGLE)
    assert "PrefixCacheUseless" in [entry.type for entry in mended.bottlenecks]
