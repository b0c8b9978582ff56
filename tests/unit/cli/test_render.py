"""The summary for people: parts that the pipeline's own plans do not show yet."""

from inferplan.api.plan import AbstentionNote, Decision, PlanSummary, Rejected
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    Engine,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.cli.render import Heading, heading_of, render
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.hardware import Accelerator
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig

NOTHING = Decision(
    optimizations=(),
    priority_order=(),
    estimated_total_improvement="Nothing to change.",
    rejected=(Rejected(option="Double the batch", code="Forbidden", reason="spec.constraints.forbid names batching"),),
    abstentions=(AbstentionNote(optimizer="kvCache", code="Idle", reason="no request ran"),),
    summary=PlanSummary(
        changes="none", impact=ImpactLevel.LOW, gain="none", confidence=Confidence.LOW, restart=False, risk="none"
    ),
)


def heading(cause: Cause = Cause.IDLE, gpu: Accelerator | None = None) -> Heading:
    observation = Observation(ServingConfig(Engine.VLLM), accelerator=gpu or Accelerator())
    return heading_of("a/b", observation, Diagnosis(cause), None)


def test_what_was_left_out_and_why_is_told() -> None:
    text = render(NOTHING, heading())
    assert "Left out\n  Double the batch: spec.constraints.forbid names batching (Forbidden)\n" in text
    assert "No change by\n  kvCache: no request ran (Idle)\n" in text


def test_an_idle_instance_is_told_apart_from_one_that_nothing_limits() -> None:
    assert "Nothing: no request runs or waits." in render(NOTHING, heading())
    assert "the KV cache has room" in render(NOTHING, heading(Cause.NONE))


def test_what_is_not_known_is_said() -> None:
    text = render(NOTHING, heading())
    assert "engine    vllm (version not known)" in text
    assert "model     not known" in text
    assert "GPU       not known" in text


def test_a_gpu_is_told_as_far_as_it_is_known() -> None:
    for gpu, told in (
        (Accelerator(count=2), "GPU       2, product not known"),
        (Accelerator(product="X", memory_mib=20_480), "GPU       number not known: X, 20.0 GiB each"),
        (Accelerator(memory_mib=20_480, count=1), "GPU       1 x unknown product, 20.0 GiB each"),
    ):
        assert told in render(NOTHING, heading(gpu=gpu))


def test_long_lines_are_wrapped_and_indented() -> None:
    long = Heading("a/b", (), ("word " * 60,))
    lines = render(NOTHING, long).splitlines()
    assert max(map(len, lines)) <= 110
    assert sum(line.startswith("    word") for line in lines) >= 2


def test_a_flag_that_is_taken_out_is_told_as_such() -> None:
    change = ConfigChange(
        parameter="swap_space", flag="--swap-space", current_value=4, removes_flag=True, reason="vllm has it no more"
    )
    optimization = Optimization(
        type=OptimizationType.VERSION,
        title="Arguments that start",
        description="test",
        config_changes=(change,),
        expected_impact=ImpactLevel.CRITICAL,
        estimated_improvement="test",
        confidence=Confidence.HIGH,
        source=Source.MEASURED_ELSEWHERE,
        implementation_effort=Effort.LOW,
    )
    assert "   swap_space: 4 → taken out  (--swap-space)\n" in render(
        NOTHING.model_copy(update={"optimizations": (optimization,)}), heading()
    )
