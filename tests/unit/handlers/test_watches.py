"""kopf's side: which handlers there are, and that they only feed."""

from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from inferplan.handlers import credentials
from inferplan.handlers.credentials import NoCredentialsError, connection_of, log_in
from inferplan.handlers.watches import kopf_settings, registry_of
from inferplan.reconcile.feed import Feed
from inferplan.reconcile.instance import Key

KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://api:6443"}}]
users: [{name: u, user: {token: secret}}]
"""


@pytest.fixture(autouse=True)
def _no_own_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def handlers(feed: Feed) -> dict[str, Any]:
    registry = registry_of(feed, kopf_settings())
    by_name = {str(handler.selector.any_name): handler for handler in registry._watching._handlers if handler.selector}
    assert len(by_name) == len(registry._watching._handlers)
    return by_name


async def test_the_handlers_feed_and_return_nothing() -> None:
    keys: list[Key] = []
    found = handlers(Feed(keys.append))
    assert set(found) == {"inferenceinstances", "optimizationplans", "deployments", "statefulsets"}
    meta = {"namespace": "ns", "name": "a", "uid": "u", "generation": 1}
    event = {"type": "ADDED", "object": {"metadata": meta}}
    for handler in found.values():
        assert await handler.fn(event=event, body={}, patch=None) is None
    assert keys == [Key("ns", "a")]


def test_nothing_of_kopf_writes_to_the_cluster() -> None:
    registry = registry_of(Feed(lambda _: None), kopf_settings())
    assert registry._changing._handlers == []
    assert registry._spawning._handlers == []
    settings = kopf_settings()
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True


def test_a_kubeconfig_becomes_a_plain_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config"
    document = yaml.safe_load(KUBECONFIG)
    document["contexts"][0]["context"]["namespace"] = "looked-at"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(file))
    connection = connection_of(log_in(kopf_settings()))
    assert connection.server == "https://api:6443"
    assert connection.headers == {"Authorization": "Bearer secret"}
    assert connection.token_file is None
    assert connection.namespace is None  # a kubeconfig's is what a person looks at, not where the operator lives
    assert "secret" not in repr(connection)


def test_a_pods_token_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t")
    monkeypatch.setattr(credentials, "TOKEN_FILE", file)
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t", default_namespace="its-own")
    connection = connection_of(info)
    assert connection.token_file == file
    assert connection.namespace == "its-own"
    assert connection.headers == {}


def test_no_credentials_are_told() -> None:
    with pytest.raises(NoCredentialsError, match="set KUBECONFIG"):
        log_in(kopf_settings())


@pytest.mark.parametrize("text", ["{}", "current-context: gone", "[", "text", "current-context: c\ncontexts: [{}]"])
def test_a_kubeconfig_that_is_none_is_told(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(NoCredentialsError, match="kubeconfig cannot be used"):
        log_in(kopf_settings())
