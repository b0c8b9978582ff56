"""The closed loop's harness: what a plan changes, what pages say, what counts as right and as harm."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from benchmarks.closed_loop.cases import Case, case_of, read_cases
from benchmarks.closed_loop.loop import Loop
from benchmarks.closed_loop.measure import by_clients, by_pages, quantile
from benchmarks.closed_loop.objects import NotApplicableError, applied, arguments, containers, deployment, instance
from benchmarks.closed_loop.planner import PlannerError
from benchmarks.closed_loop.real import GPU
from benchmarks.closed_loop.report import report
from benchmarks.closed_loop.running import NotStartedError, Run, Window
from benchmarks.closed_loop.verdict import harms, lever, predictions
from benchmarks.closed_loop.virtual import Simulator

SHORT = Window(warm_up=5.0, seconds=10.0)
PLAN = {"optimizations": [], "summary": {"changes": "none"}}


def case(**fields: Any) -> Case:
    row = {
        "name": "small",
        "why": "a test",
        "model": "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "args": "--max-model-len 8192 --max-num-seqs 4",
        "gpu": "NVIDIA-H100-80GB-HBM3",
        "load": {"clients": 8, "input": 64, "output": 32},
        "levers": ["max_batch_size"],
    }
    return case_of(fields, row)


def plan(**spec: Any) -> dict[str, Any]:
    return {"spec": {**PLAN, **spec}}


def change(parameter: str) -> dict[str, Any]:
    return {"configChanges": [{"parameter": parameter}]}


def patched(**fields: Any) -> dict[str, Any]:
    container = {"name": "vllm", **fields}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    return {"applicable": True, "serverSideApply": json.dumps(body)}


class Reads:
    """A planner that answers what it is told, and keeps the pages that it got."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer
        self.pages: tuple[str, ...] = ()

    def plan(self, _folder: Path, _objects: object, pages: tuple[str, ...]) -> dict[str, Any]:
        self.pages = pages
        if self.answer is None:
            raise PlannerError("inferplan plan: no")
        return self.answer


def loop(tmp_path: Path, answer: dict[str, Any] | None, *, controls: bool = False) -> Loop:
    return Loop(Simulator(tmp_path, SHORT), Reads(answer), tmp_path, lambda _text: None, controls)  # type: ignore[arg-type]  # a stand-in


@pytest.mark.parametrize("kind", ["simulator", "cpu"])
def test_every_case_is_readable_and_there_are_enough(kind: str) -> None:
    cases = read_cases(kind)
    assert len({one.name for one in cases}) == len(cases) >= 10
    assert sum(bool(one.levers) for one in cases) >= 9
    assert {one.name for one in cases} >= {"already-good", "idle", "overload"}
    assert all(bool(one.levers) == bool(one.better) for one in cases)


def test_the_cases_of_a_gpu_are_all_on_one_and_one_of_them_is_good() -> None:
    cases = read_cases("gpu")
    assert {one.gpu for one in cases} == {"NVIDIA-H100-80GB-HBM3"}
    assert [one.name for one in cases if not one.levers] == ["already-good"]
    assert all(bool(one.levers) == bool(one.better) for one in cases)


@pytest.mark.parametrize(("age", "warm_up"), [(40.0, 28.0), (70.0, 10.0)])
def test_a_young_process_warms_up_until_it_is_no_cold_start(age: float, warm_up: float) -> None:
    # The last page comes at 92 s of age, the window is 24 s long: 92 - 40 - 24 = 28; the least is 10.
    pages = GPU.window_at(age).pages
    assert (pages[0], pages[-1]) == (warm_up, warm_up + 24.0)


def test_an_apply_replaces_arguments_and_merges_variables() -> None:
    before = deployment(replace(case(), environment={"A": "1", "B": "2"}), "0.33.0")
    answer = plan(patch=patched(args=["m", "--x"], env=[{"name": "B", "value": "3"}]))
    after = applied(before, answer)
    assert arguments(after) == ["serve", "m", "--x"]
    assert containers(after)[0]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert containers(after)[0]["command"] == ["vllm", "serve"]
    assert arguments(before)[2:] == ["--max-model-len", "8192", "--max-num-seqs", "4"]


@pytest.mark.parametrize("patch", [None, {"applicable": False, "reason": "a shell script"}])
def test_a_plan_without_a_body_cannot_be_applied(patch: dict[str, Any] | None) -> None:
    with pytest.raises(NotApplicableError, match=r"a shell script|no server-side apply"):
        applied(deployment(case(), "0.33.0"), plan(patch=patch))


def test_the_owners_spec_is_in_the_instance() -> None:
    spec = instance(case(spec={"objective": "latency"}), {"hidden_size": 8})["spec"]
    assert spec["objective"] == "latency"
    assert spec["accelerator"] == {"product": "NVIDIA-H100-80GB-HBM3", "count": 1}
    assert spec["model"] == {"config": {"hidden_size": 8}}


def test_what_pages_and_clients_say_of_one_run_agrees(tmp_path: Path) -> None:
    # Steps of 4 requests read 15.0 GB at 2.68 TB/s and cost 2 ms: 7.6 ms a token; 32 tokens take 0.24 s, 4 of them at
    # once 525 tokens/s. Half of 8 clients wait as long as the others run.
    one = case(load={"clients": 8, "input": 64, "output": 32, "spread": 0.0})
    run = Simulator(tmp_path, SHORT).run(one, deployment(one, "0.33.0"))
    pages, clients = by_pages(run.pages), by_clients(run.seen)
    assert pages["output_tokens_per_second"] == pytest.approx(525, rel=0.03)
    assert pages["ttft_mean"] == pytest.approx(250, rel=0.05)
    assert pages["num_requests_waiting"] == pytest.approx(4, abs=1)
    assert pages["itl_p50"] == pytest.approx(7.6, rel=0.5)  # by a bucket that ends at 10 ms
    assert {name: pages[name] for name in clients} == pytest.approx(clients, rel=0.02)


def test_an_open_loop_is_served_as_it_comes(tmp_path: Path) -> None:
    one = case(load={"rate": 40.0, "input": 64, "output": 8}, args="--max-model-len 8192")
    run = Simulator(tmp_path, SHORT).run(one, deployment(one, "0.33.0"))
    assert by_pages(run.pages)["requests_per_second"] == pytest.approx(40.0, rel=0.1)


def test_the_same_run_gives_the_same_pages(tmp_path: Path) -> None:
    first, second = (Simulator(tmp_path, SHORT).run(case(), deployment(case(), "0.33.0")) for _ in range(2))
    assert first.pages == second.pages
    assert all(one != two for one, two in pairwise(first.pages))


@pytest.mark.parametrize("args", ["--no-such-flag 1", "--gpu-memory-utilization 0.1"])
def test_what_does_not_start_says_why(tmp_path: Path, args: str) -> None:
    one = case(args=args)
    with pytest.raises(NotStartedError, match=r"unrecognized arguments|No available memory"):
        Simulator(tmp_path, SHORT).run(one, deployment(one, "0.33.0"))


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        ([(1.0, 0.0), (2.0, 10.0), (float("inf"), 10.0)], 0.5, 1.5),
        ([(1.0, 4.0), (2.0, 4.0), (4.0, 8.0), (float("inf"), 8.0)], 0.75, 3.0),
        ([(1.0, 4.0), (float("inf"), 8.0)], 0.9, 1.0),
    ],
)
def test_a_quantile_lies_in_its_bucket(buckets: list[tuple[float, float]], share: float, value: float) -> None:
    assert quantile(buckets, share) == value


@pytest.mark.parametrize(
    ("levers", "moved", "right", "besides"),
    [
        (["max_batch_size"], ["max_batch_size"], True, []),
        (["max_batch_size", "x"], ["quantization", "x"], True, ["quantization"]),
        (["max_batch_size"], ["quantization"], False, ["quantization"]),
        (["max_batch_size"], [], False, []),
        ([], [], True, []),
        ([], ["quantization"], False, ["quantization"]),
    ],
)
def test_a_lever_is_right_where_one_of_the_acceptable_moves(
    levers: list[str], moved: list[str], right: bool, besides: list[str]
) -> None:
    found = lever(case(levers=levers), plan(optimizations=[change(name) for name in moved]))
    assert (found["right"], found["besides"], found["moved"]) == (right, besides, moved)


def test_advice_is_looked_for_in_the_alternatives() -> None:
    told = plan(alternatives=[{"title": "Three Replicas", "description": "instead of one"}])
    found, missed = (lever(case(levers=[], advice="replica"), one) for one in (told, plan()))
    assert (found["advised"], found["right"]) == (True, True)
    assert (missed["advised"], missed["right"]) == (False, False)


def test_that_it_cannot_tell_is_looked_for_among_the_abstentions() -> None:
    said = plan(abstentions=[{"optimizer": "kvCache", "code": "AcceleratorUnknown", "reason": "r"}])
    found, missed = (lever(case(levers=[], abstains="AcceleratorUnknown"), one) for one in (said, plan()))
    assert (found["advised"], found["right"]) == (True, True)
    assert (missed["advised"], missed["right"]) == (False, False)


def test_predictions_are_ratios_beside_what_came() -> None:
    ratio = {"metric": "output_tokens_per_second", "low": 1.0, "high": 2.0, "unit": "times today's", "source": "s"}
    absolute = {"metric": "itl_mean", "current": 10.0, "low": 10.0, "expected": 12.0, "high": 15.0, "unit": "ms"}
    answer = plan(effects=[ratio, {**absolute, "source": "s"}])
    found = predictions(answer, {"output_tokens_per_second": 1.5, "itl_mean": 1.6})
    assert found["output_tokens_per_second"] == {
        "low": 1.0,
        "expected": None,
        "high": 2.0,
        "realized": 1.5,
        "within": True,
        "source": "s",
    }
    assert (found["itl_mean"]["expected"], found["itl_mean"]["within"]) == (1.2, False)
    assert predictions(answer, {})["itl_mean"]["within"] is None


@pytest.mark.parametrize(
    ("before", "after", "harm"),
    [
        ({"output_tokens_per_second": 100.0}, {"output_tokens_per_second": 96.0}, []),
        ({"output_tokens_per_second": 100.0}, {"output_tokens_per_second": 94.0}, ["output_tokens_per_second 0.94x"]),
        ({"e2e_mean": 100.0}, {"e2e_mean": 106.0}, ["e2e_mean 1.06x"]),
        ({"ttft_mean": 100.0}, {"ttft_mean": 900.0}, []),
        ({"itl_p95": 40.0}, {"itl_p95": 60.0}, ["itl_p95 is missed now"]),
        ({"itl_p95": 60.0}, {"itl_p95": 70.0}, []),
    ],
)
def test_harm_is_a_guarded_measure_or_a_target(
    before: dict[str, float], after: dict[str, float], harm: list[str]
) -> None:
    targets = [{"metric": "itl", "percentile": 95, "targetMilliseconds": 50}]
    assert harms(case(spec={"slo": targets}), before, after) == harm


def test_a_plan_is_applied_and_looked_at_under_the_same_load(tmp_path: Path) -> None:
    one = case(better="--max-num-seqs 8")
    args = [one.model, "--max-model-len", "8192", "--max-num-seqs", "8"]
    effect = {"metric": "output_tokens_per_second", "low": 1.0, "high": 2.1, "unit": "times today's", "source": "s"}
    answer = plan(optimizations=[change("max_batch_size")], effects=[effect], patch=patched(args=args))
    row = loop(tmp_path, answer, controls=True).run(one)
    assert row["argsAfter"] == ["serve", *args]
    assert row["ratios"]["pages"]["output_tokens_per_second"] == pytest.approx(2.0, abs=0.05)
    assert row["after"] == row["control"]["measured"]
    assert (row["lever"]["right"], row["harm"]) == (True, [])
    text = report({"simulator": {"cases": [row]}})
    assert "**1 of 1**" in text
    assert "| small | throughput | (1.00 to 2.10) |" in text


def test_a_plan_that_stops_the_engine_is_harm(tmp_path: Path) -> None:
    answer = plan(optimizations=[change("max_batch_size")], patch=patched(args=["m/Llama-3.1-8B", "--nope"]))
    row = loop(tmp_path, answer).run(case())
    assert row["harm"] == ["does not start: vllm: error: unrecognized arguments: --nope"]


def test_a_plan_that_cannot_be_applied_is_harm(tmp_path: Path) -> None:
    row = loop(tmp_path, plan(optimizations=[change("max_batch_size")])).run(case())
    assert row["harm"] == ["cannot be applied: the plan has no server-side apply"]


def test_an_engine_that_does_not_start_is_planned_for_without_pages(tmp_path: Path) -> None:
    one = case(args="--max-model-len 999999")
    args = [one.model, "--max-model-len", "8192"]
    answer = plan(optimizations=[change("max_model_len")], patch=patched(args=args))
    made = loop(tmp_path, answer)
    row = made.run(one)
    assert made.planner.pages == ()  # type: ignore[attr-defined]  # the stand-in's
    assert "999999" in row["before"]["notStarted"]
    assert row["harm"] == []
    assert "| small | none |" in report({"simulator": {"cases": [row]}})


def test_a_planner_that_fails_is_a_wrong_answer(tmp_path: Path) -> None:
    row = loop(tmp_path, None).run(case())
    assert row["lever"]["right"] is False
    assert row["summary"] == "planner failed: inferplan plan: no"


def test_a_run_of_nothing_has_no_latencies(tmp_path: Path) -> None:
    one = case(load=None)
    run: Run = Simulator(tmp_path, SHORT).run(one, deployment(one, "0.33.0"))
    assert "ttft_mean" not in by_pages(run.pages)
    assert by_clients(run.seen) == {"output_tokens_per_second": 0.0}
