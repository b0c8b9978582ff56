"""Switches that somebody set against what the engine does by itself."""

from typing import Any

import pytest
from tests.support.build import a, an

from inferplan.api.values import Confidence, Engine, Source
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Policy
from inferplan.optimizers.batching_look import Look
from inferplan.optimizers.batching_switches import chunking_proposal, chunks, eager_lever, eager_proposal

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
EAGER = {"enforce_eager": True}
WHOLE = {"enable_chunked_prefill": False}


def look(observation: Observation) -> Look:
    return Look(observation, diagnose(observation), Policy())


def of_release(version: str | None, **settings: Any) -> Look:
    return look(an.serving(config=effective(a.config(version=version, **settings), H100), accelerator=H100))


def test_prompts_that_are_not_cut_are_cut_again_where_the_release_warns() -> None:
    proposal = chunking_proposal(look(an.serving(settings=WHOLE)))
    assert proposal is not None
    made = proposal.optimization
    (change,) = made.config_changes
    assert (change.parameter, change.flag) == ("enable_chunked_prefill", "--enable-chunked-prefill")
    assert (change.current_value, change.recommended_value, change.removes_flag) == (False, None, True)
    assert "vLLM warns that it may crash or answer wrongly" in made.description
    assert (made.confidence, made.source, made.effects) == (Confidence.MEDIUM, Source.MEASURED_ELSEWHERE, ())
    assert made.prerequisites[0].startswith("Find out why it was set")


@pytest.mark.parametrize(
    ("seen", "cut"),
    [
        (of_release("0.33.0"), True),  # not switched off at all
        (of_release("0.11.0", **WHOLE), True),  # V1 cuts them whatever it is told
        (of_release("0.11.2", **WHOLE), False),  # it does not, and says nothing
        (of_release(None, **WHOLE), False),
        (of_release("0.33.0", runner="pooling", **WHOLE), False),  # whether it would by default is not known
    ],
)
def test_elsewhere_nothing_is_said_of_it(seen: Look, cut: bool) -> None:
    assert chunking_proposal(seen) is None
    assert chunks(seen) is cut


def test_a_default_that_is_not_certain_is_not_restored() -> None:
    """0.12.0 switches both off by itself with prefill context parallelism; it warns of that all the same."""
    seen = of_release("0.12.0", prefill_context_parallel_size=2, **WHOLE)
    assert not chunks(seen)
    assert chunking_proposal(seen) is None


def test_eager_mode_is_a_lever_where_the_step_model_speaks() -> None:
    seen = look(an.serving(settings=EAGER, accelerator=H100))
    lever = eager_lever(seen)
    assert lever is not None
    (option,) = lever.options
    (change,) = option.changes
    assert (change.parameter, change.flag) == ("enforce_eager", "--enforce-eager")
    assert (change.current_value, change.recommended_value, change.removes_flag) == (True, None, True)
    assert [fact.query for fact in change.evidence] == ["vllm:itl_mean_milliseconds", "vllm:num_requests_running"]
    assert "GPU memory" in option.risks[0]
    assert "starts more slowly" in option.risks[1]
    assert eager_proposal(seen) is None


@pytest.mark.parametrize("changes", [{"accelerator": an.serving().accelerator}, {"model": NO_MODEL_CONFIG}])
def test_and_a_change_without_a_number_where_it_does_not(changes: dict[str, Any]) -> None:
    seen = look(an.serving(settings=EAGER, **changes))  # a GPU of which only label and memory are known
    assert eager_lever(seen) is None
    proposal = eager_proposal(seen)
    assert proposal is not None
    made = proposal.optimization
    assert (made.source, made.confidence, made.effects) == (Source.RULE_OF_THUMB, Confidence.LOW, ())
    assert made.config_changes[0].removes_flag


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"enforce_eager": False},
        {**EAGER, "cpu_offload_gb": 10.0},
        {**EAGER, "kv_transfer_config": '{"kv_connector": "P2pNcclConnector"}'},
        {**EAGER, "kv_cache_memory_bytes": 10**10},  # graphs would take memory that nobody measured
    ],
)
def test_what_is_there_for_a_reason_stays(settings: dict[str, Any]) -> None:
    for gpu in (H100, an.serving().accelerator):
        seen = look(an.serving(settings=settings, accelerator=gpu))
        assert eager_lever(seen) is None
        assert eager_proposal(seen) is None


def test_sglang_says_it_otherwise() -> None:
    config = a.config(Engine.SGLANG, "0.5.18", enforce_eager=True, max_model_len=8192)
    seen = look(an.serving(config=config, model=NO_MODEL_CONFIG))
    proposal = eager_proposal(seen)
    assert proposal is not None
    assert proposal.optimization.config_changes[0].flag == "--disable-cuda-graph"
