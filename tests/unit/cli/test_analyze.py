"""`inferplan analyze` on files: text, documents, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.build import an

from inferplan.api.analysis import (
    Analysis,
    Bottleneck,
    Deduction,
    HealthScore,
    Severity,
    SLOStatus,
)
from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.values import Evidence
from inferplan.cli import main
from inferplan.cli.analysis_table import analysis_table
from inferplan.cli.render import Heading
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Metrics

SCRAPES = Path(__file__).parents[2] / "scrapes"
GOLDENS = Path(__file__).parents[2] / "goldens" / "analyze"


def words(situation: str, *pages: str) -> list[str]:
    folder = SCRAPES / situation
    files = [word for page in pages for word in ("--metrics", str(folder / f"{page}.txt"))]
    return ["analyze", "-f", str(folder / "instance.yaml"), "-f", str(folder / "deployment.yaml"), *files]


def with_targets(tmp_path: Path, situation: str, *targets: dict[str, Any]) -> list[str]:
    """The situation's instance, with latency targets."""
    document = yaml.safe_load((SCRAPES / situation / "instance.yaml").read_text("utf-8"))
    document["spec"]["slo"] = list(targets)
    file = tmp_path / "instance.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    given = words(situation, "1", "2")
    return [given[0], given[1], str(file), *given[3:]]


SITUATIONS = (
    "idle",
    "cold-start",
    "healthy",
    "kv-bound",
    "scheduler-capped",
    "prefill-bound",
    "overload",
    "after-restart",
)
TTFT = {"metric": "ttft", "percentile": 95, "targetMilliseconds": 500}


@pytest.mark.timeout(10)  # the first one reads the releases' flags
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_whole_text_is_as_expected(
    situation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], update_goldens: bool
) -> None:
    assert main(with_targets(tmp_path, situation, TTFT)) == 0
    file = GOLDENS / f"{situation}.txt"
    seen = capsys.readouterr().out
    if update_goldens:
        file.write_text(seen, encoding="utf-8")
    assert seen == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_document_is_what_the_status_holds_and_the_measurements(
    output: str, read: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*with_targets(tmp_path, "kv-bound", TTFT), "-o", output]) == 0
    found = read(capsys.readouterr().out)
    assert found["instance"] == {"namespace": "serving", "name": "kv-bound"}
    assert found["observedAt"].startswith("2026-")
    assert found["cause"] == "KvBound"
    assert found["metrics"]["kv_cache_usage"]["unit"] == "share"
    assert found["sloStatuses"][0]["isCompliant"] is False
    # a percentile of a histogram lies between two bounds, and the pages' newest sample is the last page
    ttft = found["metrics"]["ttft_p95_milliseconds"]
    assert ttft["low"] < ttft["value"] < ttft["high"]
    assert ttft["ageSeconds"] == 0
    assert found["replicas"] == []
    beside = {"instance", "observedAt", "metrics", "replicas"}
    own = {name: value for name, value in found.items() if name not in beside}
    assert Analysis.from_kube(own).cause == "KvBound"


def replica_words(output: str) -> list[str]:
    folder = SCRAPES / "replicas-one-overloaded"
    pages = [f"{name}={folder / f'{name}-{page}.txt'}" for name in "ab" for page in (1, 2)]
    files = ["-f", str(folder / "instance.yaml"), "-f", str(folder / "deployment.yaml")]
    return ["analyze", *files, *(word for page in pages for word in ("--metrics", page)), "-o", output]


def test_several_replicas_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(replica_words("json")) == 0
    first, second = json.loads(capsys.readouterr().out)["replicas"]
    assert (first["name"], second["name"]) == ("a", "b")
    assert second["numRequestsWaiting"] > first["numRequestsWaiting"]
    assert second["failedRequestsShare"] == 0
    assert main(replica_words("table")) == 0
    head, *lines = capsys.readouterr().out.partition("\nReplicas\n")[2].splitlines()
    assert " ".join(head.split()) == "running waiting KV use requests/s tokens/s TTFT ms ITL ms failed"
    assert [line.split()[0] for line in lines] == ["a", "b"]
    assert len({len(line) for line in (head, *lines)}) == 1


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        ((), 0),
        (("critical",), 0),
        (("high",), 1),
        (("medium",), 1),
        (("low",), 1),
        (("slo",), 1),
        (("critical", "slo"), 1),
    ],
)
def test_findings_end_with_1_where_they_are_asked_for(levels: tuple[str, ...], code: int, tmp_path: Path) -> None:
    asked = [word for level in levels for word in ("--fail-on", level)]
    assert main([*with_targets(tmp_path, "kv-bound", TTFT), *asked]) == code


def test_a_target_that_holds_or_is_unknown_is_no_finding(tmp_path: Path) -> None:
    easy = {"metric": "ttft", "percentile": 95, "targetMilliseconds": 60_000}
    assert main([*with_targets(tmp_path, "kv-bound", easy), "--fail-on", "slo"]) == 0
    without_metrics = with_targets(tmp_path, "kv-bound", TTFT)[:5]
    assert main([*without_metrics, "--fail-on", "slo"]) == 0


def test_a_score_that_is_not_known_is_told_by_what_it_is_at_most() -> None:
    health = HealthScore(
        at_most=60.0, reason="a target is not measured", deductions=(Deduction(code="X", points=40, reason="so"),)
    )
    text = analysis_table(Analysis(cause="None", health=health), Heading("a/b", ()), an.observation(metrics=Metrics()))
    assert "Health at most 60 of 100\n  100 at first\n  -40 X: so\n  a target is not measured\n" in text


def test_without_metrics_nothing_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words("kv-bound")) == 0
    text = capsys.readouterr().out
    assert "Unknown: the data cannot tell" in text
    assert "Health\n  not judged: " in text
    assert "no metrics were given: use --metrics FILE or --prometheus URL" in " ".join(text.split())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["-f", "none.yaml"], "none.yaml: No such file or directory"),
        (["--metrics", "none.txt"], "none.txt: No such file or directory"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(wrong: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words("kv-bound"), *wrong]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"inferplan analyze: {told}\n"


@pytest.mark.parametrize(
    "wrong", [["--fail-on", "any"], ["-o", "diff"], ["--metrics", "a", "--prometheus", "http://b"]]
)
def test_a_word_that_is_no_option_ends_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words("kv-bound"), *wrong]) == 2
    assert "usage: inferplan analyze" in capsys.readouterr().err


def status(**fields: Any) -> SLOStatus:
    target = SLO(metric=SLOMetric.TTFT, percentile=95, target_milliseconds=500)
    return SLOStatus(target=target, allowed_share=0.05, **fields)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"current_value": 812.0, "is_compliant": False, "deviation_percent": 62.4},
            "ttft p95: 812 ms, target 500 ms is missed (+62 %)",
        ),
        (
            {"current_value": 400.0, "is_compliant": True, "deviation_percent": -20.0},
            "ttft p95: 400 ms, target 500 ms holds (-20 %)",
        ),
        (
            {
                "at_least": 10_000.0,
                "is_compliant": False,
                "missed_share": 0.2,
                "error_budget_used_percent": 400.0,
            },
            "ttft p95: above 10,000 ms, target 500 ms is missed; 20.0% miss it of 5% allowed (400 % of the error",
        ),
        ({}, "ttft p95: not measured, target 500 ms is not known to hold"),
    ],
)
def test_each_state_of_a_target_has_its_line(fields: dict[str, Any], line: str) -> None:
    analysis = Analysis(cause="None", health=HealthScore(score=100.0), slo_statuses=(status(**fields),))
    text = analysis_table(analysis, Heading("a/b", ()), an.observation(metrics=Metrics()))
    assert f"Targets\n  {line}" in text


def test_a_finding_shows_its_numbers_and_a_bound_says_that_it_is_one() -> None:
    found = Bottleneck(
        type="Slow",
        severity=Severity.LOW,
        description="It is slow.",
        metric="ttft",
        at_least=10.0,
        threshold=5.0,
        unit="s",
        evidence=(Evidence(formula="1 + 1", value=2.0, window_seconds=60),),
    )
    analysis = Analysis(cause="Odd", health=HealthScore(score=98.0, reason="by hand"), bottlenecks=(found,))
    running = Measured(2.5, "requests", "x", 60, low=2.0, high=3.0, age_seconds=12.4)
    metrics = Metrics(num_requests_running=running)
    text = analysis_table(analysis, Heading("a/b", (("engine", "vllm"),)), an.observation(metrics=metrics))
    assert text == (
        "InferenceInstance a/b\n  engine    vllm\n\nWhat limits it\n  Odd\n\nHealth 98 of 100\n  by hand\n\n"
        "Findings, worst first\n1. Slow (low): It is slow.\n"
        "   seen        ttft = above 10 s, counts from 5\n               1 + 1 = 2, over 60 s\n\n"
        "Measured\n  num_requests_running  2.5 requests (2 to 3), over 60 s, 12 s old\n"
    )
