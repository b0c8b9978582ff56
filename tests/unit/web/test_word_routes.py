"""POST …/approve, …/reject, …/rollback, and who may read: without sockets, on a cluster in memory."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI
from tests.support.application import NEW, digest, plan_spec
from tests.support.asgi import Answer, call
from tests.support.cluster import FakeCluster
from tests.support.plugin import deployment
from tests.support.web import NOW

from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, KubeError, UnreachableError
from inferplan.kube.resources import PLANS, Document, Resource
from inferplan.web.app import create_app
from inferplan.web.callers import Callers
from inferplan.web.deciding import TRIES, Deciding
from inferplan.web.objects import ClusterObjects
from inferplan.web.ports import Parts

NAME = "llama-abababab"
HASH = "ab" * 32
ATTEMPT = {"number": 1, "startedAt": "2026-03-01T12:00:00Z", "targetUid": "u", "appliedDigest": digest(NEW)}
RIGHTS = {
    "ada": {"approve", "get", "list"},
    "bob": {"get", "list"},
    "eve": set(),
}


def plan(
    phase: str = "AwaitingApproval", namespace: str = "serving", attempt: Document | None = None, **spec: Any
) -> Document:
    return {
        "kind": "OptimizationPlan",
        "metadata": {"namespace": namespace, "name": NAME},
        "spec": {**plan_spec().to_kube(), **spec},
        "status": {"phase": phase} if attempt is None else {"phase": phase, "attempt": attempt},
    }


def instance(mode: str = "Approve") -> Document:
    return {
        "kind": "InferenceInstance",
        "metadata": {"namespace": "serving", "name": "llama"},
        "spec": {"engine": "vllm", "targetRef": {"name": "llama"}, "apply": {"mode": mode}},
    }


class Busy(FakeCluster):
    """A cluster in which the operator writes a plan's status between each read and write, so many times."""

    conflicts = 0

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], version: str
    ) -> Document:
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError("409: it was changed meanwhile")
        return await super().patch(resource, namespace, name, body, version)


class Stage:
    """The operator's service: tokens are user names."""

    def __init__(self, *namespaces: str, guarded: bool = True) -> None:
        self.cluster = Busy(reviewer=self.review)
        self.cluster.put(instance(), plan())
        parts = Parts(
            objects=ClusterObjects(self.cluster, namespaces, lambda: 0.0),
            words=Deciding(self.cluster, namespaces),
            callers=Callers(self.cluster, lambda: 0.0),
            guarded=guarded,
        )
        self.app: FastAPI = create_app(lambda: NOW, parts)
        self.asked: list[Mapping[str, Any]] = []

    def review(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            return {"authenticated": spec["token"] in RIGHTS, "user": {"username": spec["token"]}}
        self.asked.append(spec["resourceAttributes"])
        in_place = spec["resourceAttributes"]["namespace"] in {"", "serving"}
        return {"allowed": in_place and spec["resourceAttributes"]["verb"] in RIGHTS[spec["user"]]}

    async def say(self, word: str, body: Any = None, user: str = "ada", name: str = NAME) -> Answer:
        raw = b"" if body is None else json.dumps(body).encode()
        return await call(self.app, "POST", f"/api/v1/plans/serving/{name}/{word}", raw, headers(user))

    async def get(self, path: str, user: str = "ada") -> Answer:
        return await call(self.app, "GET", f"/api/v1/{path}", b"", headers(user))

    @property
    def approval(self) -> Any:
        return self.cluster.one(PLANS, "serving", NAME)["spec"].get("approval")


def headers(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user}"} if user else {}


async def test_an_approval_is_written_under_the_callers_own_name() -> None:
    stage = Stage()
    answer = await stage.say("approve", {"plan_hash": HASH, "note": "seen in staging"})
    assert answer.status == 200
    assert answer.json["spec"]["approval"] == {
        "approved": True, "by": "ada", "plan_hash": HASH, "note": "seen in staging",
    }  # fmt: skip
    assert stage.approval == {"approved": True, "by": "ada", "planHash": HASH, "note": "seen in staging"}
    assert stage.asked == [
        {"group": "inferplan.dev", "resource": "optimizationplans", "verb": "approve", "namespace": "serving",
         "name": NAME}
    ]  # fmt: skip


@pytest.mark.parametrize(("word", "phase"), [("reject", "Scheduled"), ("rollback", "Verified")])
async def test_a_no_needs_no_body(word: str, phase: str) -> None:
    stage = Stage()
    said = {"approved": True, "by": "bob", "planHash": HASH, "note": "old"}
    stage.cluster.put(plan(phase, attempt=ATTEMPT, approval=said), deployment(*NEW.args))
    assert (await stage.say(word)).status == 200
    assert stage.approval == {"approved": False, "by": "ada", "planHash": HASH}


@pytest.mark.parametrize("workloads", [(), (deployment(),)], ids=["gone", "runs something else"])
async def test_what_the_workload_does_not_carry_is_not_rolled_back(workloads: tuple[Document, ...]) -> None:
    stage = Stage()
    stage.cluster.put(plan("Verified", attempt=ATTEMPT), *workloads)
    answer = await stage.say("rollback")
    assert (answer.status, "so there is nothing to undo" in answer.json["error"]) == (409, True)
    assert stage.approval is None


async def test_secrets_in_a_plans_arguments_do_not_leave_over_http() -> None:
    stage = Stage()
    args = ["--model=llama", "--api-key", "it's 32", "--hf-token=abcdef", "--x=redis://u:pw@host", "--max-num-seqs=32"]
    body = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "vllm", "args": args}]}}}})
    diff = "".join(f" - {json.dumps(word)}\n" for word in args)
    command = f"kubectl patch deployment llama --patch {shlex.quote(body)}"
    patch = {"applicable": True, "diff": diff, "serverSideApply": body, "command": command}
    given = plan("RolledBack", attempt=ATTEMPT, patch=patch)
    given["status"] |= {"rollback": {"args": args, "message": "it wrote abcdef"}, "message": "Undone: it wrote abcdef."}
    stage.cluster.put(given)
    answer = await stage.get(f"plans/serving/{NAME}")
    assert answer.status == 200
    text = json.dumps(answer.json, ensure_ascii=False)
    assert [secret for secret in ("it's", "'s 32", "abcdef", "u:pw") if secret in text] == []
    hidden = ["--model=llama", "--api-key", "***", "--hf-token=***", "--x=redis://***@host", "--max-num-seqs=32"]
    assert answer.json["status"]["rollback"]["args"] == hidden
    assert answer.json["status"]["message"] == "Undone: it wrote ***."
    assert answer.json["spec"]["plan_hash"] == HASH


@pytest.mark.parametrize("patch", [None, {"applicable": True, "serverSideApply": "no JSON"}])
async def test_a_plan_without_arguments_is_shown_as_it_is(patch: Document | None) -> None:
    stage = Stage()
    stage.cluster.put(plan(patch=patch))
    answer = await stage.get(f"plans/serving/{NAME}")
    assert (answer.status, answer.json["status"]["rollback"]) == (200, None)


async def test_what_was_said_keeps_who_said_it_first() -> None:
    stage = Stage()
    first = {"approved": True, "by": "bob", "planHash": HASH}
    stage.cluster.put(plan(approval=first))
    assert (await stage.say("approve")).status == 200
    assert stage.approval == first
    assert stage.cluster.writes == []


@pytest.mark.parametrize("word", ["approve", "reject", "rollback"])
@pytest.mark.parametrize(
    ("user", "status", "told"),
    [
        ("", 401, "send Authorization: Bearer TOKEN"),
        ("mallory", 401, "does not take the token"),
        ("bob", 403, 'user "bob" may not approve optimizationplans.inferplan.dev in namespace "serving"'),
    ],
)
async def test_nobody_decides_without_the_right_to(word: str, user: str, status: int, told: str) -> None:
    stage = Stage(guarded=False)  # whatever the setting says: a name is written down
    answer = await stage.say(word, user=user)
    assert answer.status == status
    assert told in answer.json["error"]
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert stage.cluster.writes == []


@pytest.mark.parametrize(
    ("given", "body", "told"),
    [
        (plan("Superseded"), None, "is Superseded: approve comes too late"),
        (plan(), {"plan_hash": "cd" * 32}, f"has plan_hash {HASH}, not the one that was sent"),
        (instance("Off"), None, "spec.apply.mode of InferenceInstance"),
        (instance("GitOps"), None, "whoever merges the pull request decides"),
        (plan(optimisations=[]), None, "was written by another version"),
    ],
)
async def test_a_word_that_cannot_be_taken_is_409(given: Document, body: Any, told: str) -> None:
    stage = Stage()
    stage.cluster.put(given)
    document = stage.cluster.one(PLANS, "serving", NAME)
    document["status"] = given["status"] if given["kind"] == "OptimizationPlan" else document["status"]
    answer = await stage.say("approve", body)
    assert answer.status == 409
    assert told in answer.json["error"]
    assert stage.cluster.writes == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"plan_hash": "x"}, "plan_hash"),
        ({"note": ""}, "note"),
        ({"by": "root"}, "by"),
        ([], None),
    ],
)
async def test_a_body_that_is_none_is_422(body: Any, field: str | None) -> None:
    stage = Stage()
    answer = await stage.say("approve", body)
    assert (answer.status, answer.json["field"]) == (422, field)
    assert stage.approval is None


@pytest.mark.parametrize("name", ["none", "A", "a%2Fb"])
async def test_a_plan_that_is_not_there_is_404(name: str) -> None:
    assert (await Stage().say("approve", name=name)).status == 404


async def test_a_namespace_that_is_not_watched_is_404() -> None:
    assert (await Stage("other").say("approve")).status == 404


async def test_the_operators_own_writes_meanwhile_do_not_matter() -> None:
    stage = Stage()
    stage.cluster.conflicts = TRIES - 1
    assert (await stage.say("approve")).status == 200
    assert stage.approval["by"] == "ada"


async def test_a_plan_that_never_stands_still_is_409() -> None:
    stage = Stage()
    stage.cluster.conflicts = TRIES
    answer = await stage.say("approve")
    assert (answer.status, answer.json["error"]) == (409, f"plan serving/{NAME} is being changed; try again")


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ForbiddenError("403: no"), 403, "the operator itself may not write it (403: no): the component deploy/apply"),
        (InvalidError("422: policy"), 403, "may not write it (422: policy)"),
        (UnreachableError("503: no"), 503, "the cluster does not answer: 503"),
    ],
)
async def test_an_operator_that_may_not_write_says_so(error: KubeError, status: int, told: str) -> None:
    stage = Stage()
    stage.cluster.broken = {("patch", "optimizationplans"): error}
    answer = await stage.say("approve")
    assert answer.status == status
    assert told in answer.json["error"]


@pytest.mark.parametrize("word", ["approve", "reject", "rollback"])
async def test_without_a_cluster_there_is_nothing_to_decide(word: str) -> None:
    answer = await call(create_app(lambda: NOW), "POST", f"/api/v1/plans/a/b/{word}", b"", headers("ada"))
    assert (answer.status, answer.json["error"]) == (
        404, "this service has no cluster; the operator's own service has",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("instances", ("list", "inferenceinstances", "", "")),
        ("plans", ("list", "optimizationplans", "", "")),
        ("plans?namespace=serving", ("list", "optimizationplans", "serving", "")),
        (f"plans/serving/{NAME}", ("get", "optimizationplans", "serving", NAME)),
    ],
)
async def test_who_reads_needs_the_right_to(path: str, right: tuple[str, ...]) -> None:
    stage = Stage()
    assert [(await stage.get(path, user)).status for user in ("ada", "bob", "eve", "")] == [200, 200, 403, 401]
    assert {tuple(asked[key] for key in ("verb", "resource", "namespace", "name")) for asked in stage.asked} == {right}


@pytest.mark.parametrize("path", ["instances", "plans", f"plans/serving/{NAME}"])
async def test_where_reading_is_open_nobody_is_asked(path: str) -> None:
    stage = Stage(guarded=False)
    assert (await stage.get(path, "")).status == 200
    assert stage.asked == []


async def test_of_watched_namespaces_each_must_be_readable() -> None:
    stage = Stage("serving", "other")
    answer = await stage.get("plans")
    assert answer.status == 403
    assert 'in namespace "other"' in answer.json["error"]
    assert (await stage.get("plans?namespace=serving")).json["items"][0]["name"] == NAME


async def test_a_namespace_picks_its_own() -> None:
    stage = Stage(guarded=False)
    stage.cluster.put(plan(namespace="other"))
    assert len((await stage.get("plans")).json["items"]) == 2
    assert [entry["namespace"] for entry in (await stage.get("plans?namespace=other")).json["items"]] == ["other"]
    assert (await stage.get("instances?namespace=other")).json["items"] == []


@pytest.mark.parametrize("route", ["analyze", "optimize"])
async def test_what_the_operator_knows_of_an_instance_is_its_readers(route: str) -> None:
    stage = Stage()
    body = json.dumps({"instance_id": "serving/llama", "instance_type": "vllm"}).encode()
    refused = [await call(stage.app, "POST", f"/api/v1/{route}", body, headers(user)) for user in ("", "eve")]
    assert [answer.status for answer in refused] == [401, 403]
    assert (await call(stage.app, "POST", f"/api/v1/{route}", body, headers("bob"))).status in {200, 404}
    assert stage.asked[-1]["resource"] == "inferenceinstances"


async def test_a_service_that_can_ask_nobody_lets_nobody_in() -> None:
    app = create_app(lambda: NOW, Parts(objects=ClusterObjects(FakeCluster(), (), lambda: 0.0), guarded=True))
    assert (await call(app, "GET", "/api/v1/plans", b"", headers("ada"))).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_probes_and_metrics_stay_open(path: str) -> None:
    assert (await call(Stage().app, "GET", path)).status == 200


async def test_the_document_says_that_a_token_is_needed() -> None:
    document = (await call(Stage().app, "GET", "/openapi.json")).json
    approve = document["paths"]["/api/v1/plans/{namespace}/{name}/approve"]["post"]
    assert approve["security"] == [{"bearer": []}]
    assert {"200", "401", "403", "404", "409"} <= approve["responses"].keys()
    assert approve["requestBody"]["required"] is False
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "WordRequest" in document["components"]["schemas"]


async def test_words_are_counted_under_their_route() -> None:
    stage = Stage()
    await stage.say("approve")
    body = (await call(stage.app, "GET", "/metrics")).body.decode()
    route = "/api/v1/plans/{namespace}/{name}/approve"
    assert f'inferplan_http_requests_total{{code="200",method="POST",path="{route}"}} 1.0' in body
