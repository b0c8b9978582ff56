"""The API client: what it sends, what it repeats, and what it makes of answers."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.sessions import Answer, FakeSession

from inferplan.kube.client import ATTEMPTS, HttpCluster
from inferplan.kube.connection import Connection, TokenFile
from inferplan.kube.errors import (
    ConflictError,
    FencedError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    OwnedError,
    UnreachableError,
)
from inferplan.kube.port import ApplyOptions
from inferplan.kube.resources import DEPLOYMENTS, EVENTS, INSTANCES, LEASES, NODES, PLANS, PODS, TOKEN_REVIEWS, Row


class Client:
    """A client on a scripted session, its pauses and what it observed."""

    may_write = True

    def __init__(self, *script: Answer | Exception, token_file: Path | None = None) -> None:
        self.pauses: list[float] = []
        self.observed: list[tuple[str, str, str]] = []
        connection = Connection("https://api:6443", headers={"Authorization": "Bearer t"}, token_file=token_file)
        self.cluster = HttpCluster(
            connection,
            lambda *seen: self.observed.append(seen),
            may_write=lambda: self.may_write,
            sleep=self._sleep,
            uniform=lambda low, high: (low + high) / 2,
        )
        self.session = FakeSession(*script)
        self.cluster._session = self.session  # type: ignore[assignment]

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def status(code: int, message: str = "no", **headers: str) -> Answer:
    return Answer(code, json.dumps({"kind": "Status", "message": message}).encode(), headers)


def document(**fields: Any) -> Answer:
    return Answer(200, json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("resource", "namespace", "path"),
    [
        (INSTANCES, "a", "/apis/inferplan.dev/v1alpha1/namespaces/a/inferenceinstances/x"),
        (DEPLOYMENTS, "a", "/apis/apps/v1/namespaces/a/deployments/x"),
        (PODS, "a", "/api/v1/namespaces/a/pods/x"),
        (NODES, None, "/api/v1/nodes/x"),
    ],
)
async def test_each_resource_has_its_path(resource: Any, namespace: str | None, path: str) -> None:
    client = Client(document(kind="X"))
    await client.cluster.get(resource, namespace, "x")
    (asked,) = client.session.asked
    assert asked["url"] == f"https://api:6443{path}"
    assert asked["headers"]["Authorization"] == "Bearer t"
    assert asked["allow_redirects"] is False


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, InvalidError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidError),
        (422, InvalidError),
        (302, UnreachableError),
    ],
)
async def test_each_refusal_is_an_error_of_ours_at_once(code: int, error: type[KubeError]) -> None:
    client = Client(status(code, "because"))
    with pytest.raises(error, match="because"):
        await client.cluster.get(PODS, "a", "x")
    assert client.pauses == []
    assert client.observed == [("get", "pods", str(code))]


@pytest.mark.parametrize("trouble", [status(500), status(503), aiohttp.ClientConnectionError("down"), TimeoutError()])
async def test_passing_trouble_is_tried_again_with_growing_pauses(trouble: Answer | Exception) -> None:
    client = Client(trouble, trouble, document(kind="Pod"))
    assert await client.cluster.get(PODS, "a", "x") == {"kind": "Pod"}
    assert client.pauses == [0.5, 1.0]


async def test_trouble_that_stays_ends_as_unreachable() -> None:
    client = Client(aiohttp.ClientConnectionError("down"))
    with pytest.raises(UnreachableError, match="down"):
        await client.cluster.get(PODS, "a", "x")
    assert len(client.session.asked) == ATTEMPTS
    assert client.observed == [("get", "pods", "error")] * ATTEMPTS


async def test_retry_after_is_heeded_up_to_a_limit() -> None:
    client = Client(status(429, **{"Retry-After": "7"}), status(429, **{"Retry-After": "9999"}), document(kind="Pod"))
    await client.cluster.get(PODS, "a", "x")
    assert client.pauses == [7.0, 30.0]


async def test_a_create_without_an_answer_is_not_repeated() -> None:
    client = Client(aiohttp.ClientConnectionError("down"))
    with pytest.raises(UnreachableError):
        await client.cluster.create(EVENTS, "a", {"metadata": {}})
    assert len(client.session.asked) == 1


async def test_a_create_that_was_turned_away_is_repeated() -> None:
    client = Client(status(429), document(kind="Event"))
    await client.cluster.create(EVENTS, "a", {"metadata": {}})
    assert len(client.session.asked) == 2


async def test_an_html_answer_is_no_document() -> None:
    client = Client(Answer(200, b"<html>"))
    with pytest.raises(UnreachableError, match="no Kubernetes answer"):
        await client.cluster.get(PODS, "a", "x")


async def test_a_list_reads_all_pages() -> None:
    client = Client(
        document(items=[{"n": 1}], metadata={"continue": "more"}),
        document(items=[{"n": 2}], metadata={}),
    )
    assert await client.cluster.list(PODS, "a", "app=x") == ({"n": 1}, {"n": 2})
    first, second = (asked["params"] for asked in client.session.asked)
    assert first == {"labelSelector": "app=x", "limit": "500"}
    assert second == {**first, "continue": "more"}


async def test_an_expired_list_starts_again() -> None:
    client = Client(
        document(items=[{"n": 1}], metadata={"continue": "more"}),
        status(410),
        document(items=[{"n": 1}, {"n": 2}]),
    )
    assert await client.cluster.list(PODS, None) == ({"n": 1}, {"n": 2})


async def test_metadata_is_listed_without_the_rest() -> None:
    client = Client(document(items=[]))
    assert await client.cluster.list_metadata(INSTANCES, None) == ()
    assert "PartialObjectMetadataList" in client.session.asked[0]["headers"]["Accept"]


async def test_a_table_is_listed_in_pages_as_rows_of_named_cells() -> None:
    def page(name: str, following: str) -> Answer:
        return document(
            metadata={"continue": following},
            columnDefinitions=[{"name": "Phase"}, {"name": "Gain"}],
            rows=[{"cells": ["Proposed", None], "object": {"metadata": {"name": name}}}],
        )

    client = Client(page("a", "next"), page("b", ""))
    assert await client.cluster.list_table(PLANS, "ns") == (
        Row({"name": "a"}, {"Phase": "Proposed", "Gain": None}),
        Row({"name": "b"}, {"Phase": "Proposed", "Gain": None}),
    )
    assert [asked["params"].get("continue") for asked in client.session.asked] == [None, "next"]
    assert all("as=Table" in asked["headers"]["Accept"] for asked in client.session.asked)


async def test_a_status_goes_out_as_a_merge_patch() -> None:
    client = Client(document(kind="X"))
    await client.cluster.patch_status(INSTANCES, "a", "x", {"plan": None})
    (asked,) = client.session.asked
    assert asked["url"].endswith("/inferenceinstances/x/status")
    assert asked["headers"]["Content-Type"] == "application/merge-patch+json"
    assert json.loads(asked["data"]) == {"status": {"plan": None}}
    assert client.observed == [("patch", "inferenceinstances/status", "200")]


async def test_a_patch_is_bound_to_a_version() -> None:
    client = Client(document(kind="OptimizationPlan"))
    await client.cluster.patch(PLANS, "a", "b", {"spec": {"approval": None}}, "7")
    (asked,) = client.session.asked
    assert asked["url"].endswith("/namespaces/a/optimizationplans/b")
    assert asked["headers"]["Content-Type"] == "application/merge-patch+json"
    assert json.loads(asked["data"]) == {"spec": {"approval": None}, "metadata": {"resourceVersion": "7"}}
    assert client.observed == [("patch", "optimizationplans", "200")]


async def test_a_review_is_created_in_no_namespace() -> None:
    client = Client(document(kind="TokenReview"))
    await client.cluster.create(TOKEN_REVIEWS, None, {"spec": {}})
    assert client.session.asked[0]["url"].endswith("/apis/authentication.k8s.io/v1/tokenreviews")


async def test_deleting_what_is_gone_is_fine() -> None:
    client = Client(status(404))
    await client.cluster.delete(INSTANCES, "a", "x")
    assert [asked["method"] for asked in client.session.asked] == ["DELETE"]


async def test_a_refused_token_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    client = Client(status(401), document(kind="Pod"), token_file=file)
    token = client.cluster._token
    assert token is not None
    assert token.token() == "old"
    file.write_text("new\n")
    await client.cluster.get(PODS, "a", "x")
    assert [asked["headers"]["Authorization"] for asked in client.session.asked] == ["Bearer old", "Bearer new"]


def test_a_token_file_is_read_once_a_minute(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    now = 0.0
    token = TokenFile(file, lambda: now)
    assert token.token() == "first"
    file.write_text("second")
    now = 59.0
    assert token.token() == "first"
    now = 60.0
    assert token.token() == "second"


BODY = {"metadata": {"name": "llama"}, "spec": {}}


async def test_apply_is_a_server_side_apply() -> None:
    client = Client(document(kind="Deployment"))
    await client.cluster.apply(DEPLOYMENTS, "a", BODY, ApplyOptions("inferplan"))
    (sent,) = client.session.asked
    assert (sent["method"], sent["url"]) == ("PATCH", "https://api:6443/apis/apps/v1/namespaces/a/deployments/llama")
    assert sent["params"] == {"fieldManager": "inferplan", "force": "false"}
    assert sent["headers"]["Content-Type"] == "application/apply-patch+yaml"


async def test_a_dry_run_and_force_are_asked_for() -> None:
    client = Client(document(kind="Deployment"))
    await client.cluster.apply(DEPLOYMENTS, "a", BODY, ApplyOptions("inferplan", force=True, dry_run=True))
    assert client.session.asked[0]["params"] == {"fieldManager": "inferplan", "force": "true", "dryRun": "All"}


async def test_who_owns_the_fields_is_told() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-client-side-apply" using apps/v1'},
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using apps/v1: .spec'},
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using apps/v1: .metadata'},
        {"reason": "Other", "message": 'conflict with "nobody"'},
    ]
    body = {"kind": "Status", "message": "Apply failed with 3 conflicts", "details": {"causes": causes}}
    client = Client(Answer(409, json.dumps(body).encode(), {}))
    with pytest.raises(OwnedError) as error:
        await client.cluster.apply(DEPLOYMENTS, "a", BODY, ApplyOptions("inferplan"))
    assert error.value.managers == ("kubectl-client-side-apply", "helm")


async def test_a_conflict_that_is_about_no_fields_names_nobody() -> None:
    client = Client(status(409, "the object has been modified"))
    with pytest.raises(ConflictError) as error:
        await client.cluster.apply(DEPLOYMENTS, "a", BODY, ApplyOptions("inferplan"))
    assert not isinstance(error.value, OwnedError)


async def test_a_status_can_be_bound_to_a_version() -> None:
    client = Client(document(kind="OptimizationPlan"))
    await client.cluster.patch_status(PLANS, "a", "p", {"phase": "Applying"}, "7")
    assert json.loads(client.session.asked[0]["data"]) == {
        "metadata": {"resourceVersion": "7"},
        "status": {"phase": "Applying"},
    }


async def test_replace_puts() -> None:
    client = Client(document(kind="Lease"))
    await client.cluster.replace(LEASES, "a", BODY)
    (sent,) = client.session.asked
    assert (sent["method"], sent["headers"]["Content-Type"]) == ("PUT", "application/json")


async def test_a_log_is_text() -> None:
    client = Client(Answer(200, b"one\ntwo\n", {}))
    assert await client.cluster.log("a", "p", "vllm", 20, previous=True) == "one\ntwo\n"
    (sent,) = client.session.asked
    assert sent["url"].endswith("/api/v1/namespaces/a/pods/p/log")
    assert sent["params"] == {"container": "vllm", "tailLines": "20", "previous": "true"}


async def test_a_log_that_is_not_there_is_an_error() -> None:
    with pytest.raises(NotFoundError):
        await Client(status(404)).cluster.log("a", "p", "vllm", 20, previous=False)


async def test_one_that_may_not_act_any_more_reads_and_writes_nothing() -> None:
    client = Client(document(kind="X"))
    client.may_write = False
    await client.cluster.get(PODS, "a", "x")
    for write in (
        client.cluster.create(EVENTS, "a", {}),
        client.cluster.patch_status(PLANS, "a", "x", {}),
        client.cluster.replace(LEASES, "a", {"metadata": {"name": "x"}}),
        client.cluster.delete(PLANS, "a", "x"),
    ):
        with pytest.raises(FencedError, match="another operator may act by now"):
            await write
    assert len(client.session.asked) == 1
