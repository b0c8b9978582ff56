"""Settings from the environment."""

import json
import logging

import pytest

from inferplan.settings import SettingsError, load_settings
from inferplan.telemetry import JsonFormatter


def test_defaults_watch_the_whole_cluster() -> None:
    settings = load_settings()
    assert settings.namespaces == ()
    assert (settings.resync_seconds, settings.concurrency, settings.listen_port) == (300, 8, 8002)
    assert settings.prometheus_sources == {}


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b,"])
def test_namespaces_are_a_list(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERPLAN_NAMESPACES", text)
    assert load_settings().namespaces == ("a", "b")


def test_a_source_is_a_url_or_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"default": "http://prom:9090/", "team": {"url": "https://x/prom", "bearer_token_file": "/t"}}
    monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", json.dumps(sources))
    found = load_settings().prometheus_sources
    assert found["default"].url == "http://prom:9090"
    assert str(found["team"].bearer_token_file) == "/t"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("NAMESPACES", "A_b", '"A_b" is no namespace name'),
        ("NAMESPACES", "[", "INFERPLAN_NAMESPACES"),
        ("RESYNC_SECONDS", "0", "greater than or equal to 1"),
        ("CONCURRENCY", "many", "INFERPLAN_CONCURRENCY"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
        ("LISTEN_PORT", "70000", "INFERPLAN_LISTEN_PORT"),
        ("PROMETHEUS_SOURCES", "http://x", "INFERPLAN_PROMETHEUS_SOURCES"),
        ("PROMETHEUS_SOURCES", "[]", "must be a JSON object"),
        ("PROMETHEUS_SOURCES", '{"a": "file:///etc/passwd"}', "must be http://"),
        ("PROMETHEUS_SOURCES", '{"a": "http://user@x"}', "must be http://"),
        ("PROMETHEUS_SOURCES", '{"a": {"url": "http://x", "urll": 1}}', "URLL"),
    ],
)
def test_a_setting_that_is_none_is_told_with_its_name(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"INFERPLAN_{name}", value)
    with pytest.raises(SettingsError, match=f"^INFERPLAN_{name}") as error:
        load_settings()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_log_line_is_one_json_object() -> None:
    error = ValueError("two\nlines")
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "it %s", ("broke",), (ValueError, error, None))
    record.instance = "llama"
    line = JsonFormatter().format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["message"], entry["instance"]) == ("error", "it broke", "llama")
    assert "ValueError" in entry["exception"]
