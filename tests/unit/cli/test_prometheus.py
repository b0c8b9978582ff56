"""`inferplan plan --prometheus`, with a Prometheus that answers from literals."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.prometheus import FakePrometheus, vllm_series

from inferplan.cli import ask_prometheus, main
from inferplan.observe.prometheus import Answer, HttpPrometheus, PrometheusError, Watch
from inferplan.settings import PrometheusSource

INSTANCE = """\
apiVersion: inferplan.dev/v1alpha1
kind: InferenceInstance
metadata: {name: a, namespace: serving}
spec:
  engine: vllm
  engineVersion: 0.33.0
  currentConfig: {max_batch_size: 32}
  metrics: {selector: {app: a}, windowSeconds: 600}
"""


@pytest.fixture
def instance(tmp_path: Path) -> str:
    file = tmp_path / "instance.yaml"
    file.write_text(INSTANCE, encoding="utf-8")
    return str(file)


def test_the_series_of_the_selector_are_asked_for(
    instance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    series = vllm_series(["a-0", "a-1"])
    for name, own in series.items():
        series[name] = [({**labels, "app": labels["pod"].partition("-")[0]}, value) for labels, value in own]
    fake = FakePrometheus(series, history_seconds=600.0)

    async def query(_: HttpPrometheus, promql: str) -> Answer:
        return await fake.query(promql)

    monkeypatch.setattr(HttpPrometheus, "query", query)
    assert main(["plan", "-f", instance, "--prometheus", "http://prometheus:9090/"]) == 0
    assert "SchedulerCapped (high): 32 requests run, of 32 that may, while 12 wait." in capsys.readouterr().out
    assert len(fake.asked) == 15
    assert all('namespace=~"serving"' in promql for promql in fake.asked)
    assert any("[600s]" in promql for promql in fake.asked)


def test_a_prometheus_that_does_not_answer_ends_with_one_line(
    instance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def query(_: HttpPrometheus, __: str) -> Answer:
        raise PrometheusError("it could not be asked (ClientConnectorError)")

    monkeypatch.setattr(HttpPrometheus, "query", query)
    assert main(["plan", "-f", instance, "--prometheus", "http://prometheus:9090"]) == 2
    told = "inferplan plan: --prometheus http://prometheus:9090: it could not be asked (ClientConnectorError)\n"
    assert capsys.readouterr().err == told


def test_a_prometheus_without_the_series_says_so(
    instance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def query(_: HttpPrometheus, __: str) -> Answer:
        return Answer()

    monkeypatch.setattr(HttpPrometheus, "query", query)
    assert main(["plan", "-f", instance, "--prometheus", "http://prometheus:9090"]) == 2
    assert "inferplan plan: --prometheus http://prometheus:9090: " in capsys.readouterr().err


def test_a_selector_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(HttpPrometheus, "query")
    file = tmp_path / "instance.yaml"
    file.write_text(INSTANCE.replace("{app: a}", '{"a b": c}'), encoding="utf-8")
    assert main(["plan", "-f", str(file), "--prometheus", "http://prometheus:9090"]) == 2
    assert 'spec.metrics.selector: "a b" cannot be used' in capsys.readouterr().err


def test_a_url_that_is_none_is_told(
    instance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(HttpPrometheus, "query")
    assert main(["plan", "-f", instance, "--prometheus", "http://me@prometheus"]) == 2
    assert '--prometheus: "http://me@prometheus" must be http://' in capsys.readouterr().err


def test_a_source_of_the_administrator_is_asked_by_its_name_with_its_labels_and_its_login(
    instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("secret", encoding="ascii")
    source = {"url": "https://thanos:9091", "bearer_token_file": str(token), "pod_label": "k8s_pod_name"}
    monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", json.dumps({"thanos": source}))
    asked: list[str] = []
    opened: list[tuple[str, PrometheusSource]] = []
    really = ask_prometheus.open_prometheus

    async def opening(stack: AsyncExitStack, name: str, of: PrometheusSource, watch: Watch) -> HttpPrometheus:
        opened.append((name, of))
        return await really(stack, name, of, watch)

    async def query(_: HttpPrometheus, promql: str) -> Answer:
        asked.append(promql)
        return Answer()

    monkeypatch.setattr(ask_prometheus, "open_prometheus", opening)
    monkeypatch.setattr(HttpPrometheus, "query", query)
    assert main(["plan", "-f", instance, "--prometheus", "thanos"]) == 2
    assert capsys.readouterr().err.startswith("inferplan plan: --prometheus thanos: ")
    ((name, of),) = opened
    assert (name, of.url, of.bearer_token_file) == ("thanos", "https://thanos:9091", token)
    assert all("k8s_pod_name" in promql for promql in asked)
    token.unlink()
    assert main(["plan", "-f", instance, "--prometheus", "thanos"]) == 2
    assert str(token) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (
            "",
            '--prometheus: "mimir" is no URL (http:// or https://) and no name in INFERPLAN_PROMETHEUS_SOURCES (none)',
        ),
        ('{"b": "http://b", "a": "http://a"}', "no name in INFERPLAN_PROMETHEUS_SOURCES (a, b)"),
        ("[]", "INFERPLAN_PROMETHEUS_SOURCES: "),
    ],
)
def test_a_name_that_no_source_has_is_told_with_those_that_are_there(
    sources: str, told: str, instance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(HttpPrometheus, "query")
    if sources:
        monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", sources)
    else:
        monkeypatch.delenv("INFERPLAN_PROMETHEUS_SOURCES", raising=False)
    assert main(["plan", "-f", instance, "--prometheus", "mimir"]) == 2
    assert told in capsys.readouterr().err
