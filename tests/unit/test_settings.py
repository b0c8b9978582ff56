"""Settings from the environment."""

import json
import logging
from typing import Any

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
        ("PROMETHEUS_SOURCES", '{"a": "http://x:99999"}', "must be http://"),
        ("PROMETHEUS_SOURCES", '{"a": "http://x\\n"}', "must be http://"),
        ("PROMETHEUS_SOURCES", '{"A b": "http://x"}', '"A b" is no name'),
        ("PROMETHEUS_SOURCES", '{"a": 5}', "INFERPLAN_PROMETHEUS_SOURCES.a:"),
        ("LEASE_NAMESPACE", "A b", "is no namespace name"),
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


SECRET = "secret-in-a-wrong-place"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"urll": 1}, ".team.urll: is no field; there are: url, bearer_token_file, username"),
        ({"password": SECRET}, ".team.password: is no field"),
        ({"url": f"http://me:{SECRET}@x"}, ".team.url:"),
        ({"bearer_token_file": "/t", "username": "me", "password_file": "/p"}, "two ways to log in"),
        ({"username": "me"}, "username and password_file belong together"),
        ({"password_file": "/p"}, "username and password_file belong together"),
        ({"username": "a:b", "password_file": "/p"}, '"a:b" is no user name'),
        ({"username": "a\nb", "password_file": "/p"}, '"a\\nb" is no user name'),
        ({"username": "", "password_file": "/p"}, '"" is no user name'),
        ({"cert_file": "/c"}, "cert_file and key_file belong together"),
        ({"key_file": "/k"}, "cert_file and key_file belong together"),
        ({"url": "http://x", "ca_file": "/ca"}, "ca_file needs a url that starts with https://"),
        ({"url": "http://x", "cert_file": "/c", "key_file": "/k"}, "cert_file needs a url"),
        ({"url": "http://x", "server_name": "prom"}, "server_name needs a url"),
        ({"server_name": "prom/etc"}, '"prom/etc" is no host name'),
        ({"headers": {"X-Scope-OrgID": f"{SECRET}\r\nHost: y"}}, 'the value of "X-Scope-OrgID" must be'),
        ({"headers": {"X-Scope-OrgID": ""}}, 'the value of "X-Scope-OrgID" must be'),
        ({"headers": {"X-Scope-OrgID": "x" * 1025}}, "1 to 1,024"),
        ({"headers": {"X-Scope-OrgID": "größe"}}, "printable ASCII"),
        ({"headers": {"X:\r\nY": "1"}}, '"X:\\r\\nY" is no header name'),
        ({"headers": {"authorization": f"Bearer {SECRET}"}}, '"authorization" cannot be set'),
        ({"headers": {"Host": "x"}}, '"Host" cannot be set'),
        ({"headers": {"Content-Type": "x"}}, '"Content-Type" cannot be set'),
        ({"headers": {"Transfer-Encoding": "x"}}, '"Transfer-Encoding" cannot be set'),
        ({"headers": {"Proxy-Authorization": SECRET}}, '"Proxy-Authorization" cannot be set'),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "a name is there twice"),
        ({"headers": {f"X-{at}": "1" for at in range(17)}}, ".team.headers: Dictionary should have at most 16"),
        ({"headers": {"X-A": [SECRET]}}, ".team.headers.X-A: Input should be a valid string"),
        ({"timeout_seconds": 0.5}, "greater than or equal to 1 (it is 0.5)"),
        ({"timeout_seconds": 121}, "less than or equal to 120"),
        ({"response_max_mib": 513}, "less than or equal to 512"),
        ({"namespace_label": "kubernetes-namespace"}, '"kubernetes-namespace" is no label name'),
        ({"pod_label": "__name__"}, '"__name__" is no label name'),
        ({"pod_label": "namespace"}, "must be two labels"),
        ({"history_hours": 169}, "less than or equal to 168"),
    ],
)
def test_a_source_that_cannot_be_used_is_told_without_its_secrets(
    fields: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", json.dumps({"team": {"url": "https://x"} | fields}))
    with pytest.raises(SettingsError, match=r"^INFERPLAN_PROMETHEUS_SOURCES\.team") as error:
        load_settings()
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


def test_a_source_can_have_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {
        "url": "https://mimir.monitoring:8443/prometheus/",
        "username": "inferplan",
        "password_file": "/p",
        "ca_file": "/ca",
        "cert_file": "/c",
        "key_file": "/k",
        "server_name": "mimir.example.com",
        "headers": {"X-Scope-OrgID": "team-a|team-b", "THANOS-TENANT": "a b"},
        "timeout_seconds": 30,
        "response_max_mib": 128,
        "namespace_label": "k8s_namespace_name",
        "pod_label": "k8s_pod_name",
        "history_hours": 24,
    }
    monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", json.dumps({"mimir": whole}))
    found = load_settings().prometheus_sources["mimir"]
    assert found.url == "https://mimir.monitoring:8443/prometheus"
    assert (found.timeout_seconds, found.response_max_mib, found.history_hours) == (30, 128, 24)
    assert (found.namespace_label, found.pod_label) == ("k8s_namespace_name", "k8s_pod_name")
    assert "team-a" not in repr(found)


def test_a_log_line_is_one_json_object() -> None:
    error = ValueError("two\nlines")
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "it %s", ("broke",), (ValueError, error, None))
    record.instance = "llama"
    line = JsonFormatter().format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["message"], entry["instance"]) == ("error", "it broke", "llama")
    assert "ValueError" in entry["exception"]


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        (None, ("127.0.0.0/8", "::1")),
        ("", ()),
        ("10.0.0.0/8:8000, engine.lab", ("10.0.0.0/8:8000", "engine.lab")),
        ('["[fd00::1]:8000"]', ("[fd00::1]:8000",)),
    ],
)
def test_engines_that_a_request_may_name_are_a_list(
    value: str | None, entries: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("INFERPLAN_SCRAPE_ALLOW", value)
    assert load_settings().scrape_allow == entries


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        (None, ("github.com", "api.github.com", "gitlab.com")),
        ("", ()),
        ("git.lab:3000, 10.0.0.0/8", ("git.lab:3000", "10.0.0.0/8")),
    ],
)
def test_git_servers_that_an_instance_may_name_are_a_list(
    value: str | None, entries: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("INFERPLAN_GIT_HOSTS", value)
    assert load_settings().git_hosts == entries
