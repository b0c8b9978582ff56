"""Who may say what of a plan, on the real API server: the policy, HTTP with real tokens, `kubectl inferplan`."""

import copy
import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import operator_process
from tests.support.application import OLD, digest, plan_spec
from tests.support.lab import ROOT, Answer, Cluster, random_namespace
from tests.support.operator_process import Operator
from tests.support.prometheus import FakePrometheus, serving
from tests.support.serving_objects import workload

from inferplan_lab.processes import wait_until

PATIENCE_SECONDS = 60
HASH = "ab" * 32
CONTAINER = {"name": "vllm", "args": ["--model=llama", "--max-num-seqs=64"]}
BODY = {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}
PLUGIN = """\
#!{python}
import sys
from inferplan.cli.plugin import main
sys.exit(main())
"""
PATCH = {"applicable": True, "diff": "-", "server_side_apply": json.dumps(BODY), "command": "kubectl"}
ALL = ("ada", "bob", "eve")
"""ada may approve, bob may patch whatever there is, eve may only read."""


@dataclass
class Place:
    """A namespace under the policy, with an operator beside it and three people with service accounts."""

    cluster: Cluster
    namespace: str
    operator: Operator
    plugins: Path
    number: int = 0

    def inferplan(self, *words: str, user: str = "ada") -> Answer:
        """`kubectl inferplan …` as somebody, with the lab's kubectl, which finds the plugin on its PATH."""
        kubectl = self.cluster.programs["kubectl"]
        folders = (str(self.plugins), str(kubectl.parent), os.environ["PATH"])
        own = {"PATH": os.pathsep.join(folders), "PYTHONPATH": str(ROOT / "operator"), "HOME": str(self.plugins)}
        flags = (f"--kubeconfig={self.cluster.kubeconfig}", f"--as={user}", f"--namespace={self.namespace}")
        command = (str(kubectl), "inferplan", *words, *flags)
        done = subprocess.run(
            command, env=own, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def plan(self, phase: str = "AwaitingApproval", instance: str = "llama") -> str:
        """A new plan in a phase; its name."""
        self.number += 1
        name = f"{instance}-{self.number:08x}"
        document = {
            "apiVersion": "inferplan.dev/v1alpha1",
            "kind": "OptimizationPlan",
            "metadata": {"name": name},
            "spec": plan_spec(instance_ref={"name": instance}, patch=PATCH).to_kube(),
        }
        self.cluster.apply(document, namespace=self.namespace)
        self.set_status(name, {"phase": phase, "message": "As the test has it."})
        return name

    def set_status(self, name: str, status: Mapping[str, Any]) -> None:
        body = json.dumps({"status": status})
        place = (f"--namespace={self.namespace}", "--subresource=status", "--type=merge", f"--patch={body}")
        self.cluster.kubectl("patch", "oplan", name, *place)

    def patch(self, name: str, user: str, approval: Any, *more: str) -> Answer:
        """Patches spec.approval as somebody; a dry run unless told otherwise."""
        body = json.dumps({"spec": {"approval": approval}})
        place = (f"--namespace={self.namespace}", f"--as={user}", "--type=merge", f"--patch={body}", *more)
        return self.cluster.run("patch", "oplan", name, *place)

    def approval(self, name: str) -> Any:
        return self.cluster.get("oplan", name, self.namespace)["spec"].get("approval")

    def token(self, user: str) -> str:
        return self.cluster.kubectl("create", "token", user, f"--namespace={self.namespace}").strip()

    def account(self, user: str) -> str:
        return f"system:serviceaccount:{self.namespace}:{user}"

    def say(self, name: str, word: str, token: str, body: Any = None) -> tuple[int, Any]:
        """POST …/word; status and answer."""
        path = f"/api/v1/plans/{self.namespace}/{name}/{word}"
        return self.ask("POST", path, token, b"" if body is None else json.dumps(body).encode())

    def ask(self, method: str, path: str, token: str, body: bytes | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.operator.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def renamed(prefix: str, account: str, namespace: str) -> list[dict[str, Any]]:
    """People's roles and the approval policy under names of the test's own; the policy is about one namespace."""
    documents: list[dict[str, Any]] = []
    for name in ("rbac-users.yaml", "apply/approval-policy.yaml"):
        text = (ROOT / "deploy" / name).read_text("utf-8")
        text = text.replace("system:serviceaccount:inferplan-system:inferplan-operator", account)
        documents += yaml.safe_load_all(text)
    for document in documents:
        document["metadata"]["name"] = f"{prefix}-{document['metadata']['name']}"
        document["metadata"].pop("labels", None)  # nothing is added to the cluster's own roles
        if document["kind"] == "ValidatingAdmissionPolicyBinding":
            selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
            document["spec"] |= {
                "policyName": f"{prefix}-{document['spec']['policyName']}",
                "matchResources": {"namespaceSelector": selector},
            }
    return documents


def people(cluster: Cluster, namespace: str, prefix: str) -> None:
    patcher = (
        "--verb=get,list,watch,patch,update",
        "--resource=optimizationplans.inferplan.dev,inferenceinstances.inferplan.dev",
    )
    cluster.kubectl("create", "role", "patcher", *patcher, f"--namespace={namespace}")
    roles = {
        "ada": f"--clusterrole={prefix}-inferplan-approver",
        "bob": "--role=patcher",
        "eve": f"--clusterrole={prefix}-inferplan-view",
    }
    for user, role in roles.items():
        cluster.kubectl("create", "serviceaccount", user, f"--namespace={namespace}")
        subjects = (f"--user={user}", f"--serviceaccount={namespace}:{user}")
        cluster.kubectl("create", "rolebinding", user, role, *subjects, f"--namespace={namespace}")


def plugin_in(folder: Path, cluster: Cluster) -> Path:
    """kubectl-inferplan as an installation puts it there, and kubectl under its own name."""
    program = folder / "kubectl-inferplan"
    program.write_text(PLUGIN.format(python=sys.executable), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "kubectl").symlink_to(cluster.programs["kubectl"])
    return folder


@pytest.fixture(scope="module")
def place(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("approval")
    asking = {"INFERPLAN_AUTHENTICATION": "true"}
    with (
        random_namespace(control_plane, "approval") as namespace,
        operator_process.service_account(control_plane, folder, applies=True) as (credentials, user),
        serving(FakePrometheus()) as url,
        operator_process.running(folder, credentials, url, **asking) as operator,
    ):
        documents = renamed(namespace, user, namespace)
        control_plane.apply(*documents)
        names = [f"{document['kind'].lower()}/{document['metadata']['name']}" for document in documents]
        try:
            people(control_plane, namespace, namespace)
            plugins = plugin_in(tmp_path_factory.mktemp("plugins"), control_plane)
            found = Place(control_plane, namespace, Operator(operator.process, operator.url, user), plugins)
            control_plane.apply(
                instance(), workload("llama", *OLD.args, command=list(OLD.command)), namespace=namespace
            )
            plan = found.plan()
            no = {"approved": False, "by": "bob", "planHash": HASH}
            wait_until(
                lambda: found.patch(plan, "bob", no, "--dry-run=server").code != 0, PATIENCE_SECONDS, "the policy"
            )
            yield found
        finally:
            control_plane.kubectl("delete", *names, "--ignore-not-found")


def instance(mode: str = "Approve", name: str = "llama") -> dict[str, Any]:
    """An instance without a workload of its own: the operator looks at it and leaves plans that are not its alone."""
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": name},
        "spec": {"engine": "vllm", "targetRef": {"name": "llama"}, "apply": {"mode": mode}},
    }


YES = {"approved": True, "by": "ada", "planHash": HASH}


@pytest.mark.parametrize(
    ("user", "approval", "told"),
    [
        ("ada", YES, ""),
        ("ada", {**YES, "note": "seen in staging"}, ""),
        ("ada", {**YES, "approved": False}, ""),
        ("ada", {**YES, "by": "bob"}, 'spec.approval.by must be ada, who asks, and not "bob"'),
        ("ada", {"approved": False, "planHash": HASH}, 'spec.approval.by must be ada, who asks, and not ""'),
        ("ada", {"approved": False, "by": "ada"}, "planHash must be this plan's spec.planHash, also for a rejection"),
        ("ada", {**YES, "planHash": "cd" * 32}, "approval.planHash is not this plan's planHash"),
        ("bob", {**YES, "by": "bob"}, "bob may not change spec.approval: the verb approve"),
        ("bob", YES, "bob may not change spec.approval: the verb approve"),
        ("eve", {**YES, "by": "eve"}, 'User "eve" cannot patch'),
    ],
    ids=str,
)
def test_the_policy_lets_those_approve_who_may_in_their_own_name(
    user: str, approval: dict[str, Any], told: str, place: Place
) -> None:
    answer = place.patch(place.plan(), user, approval, "--dry-run=server")
    assert told in answer.err
    assert (answer.code == 0) is (told == "")


def test_the_operator_approves_in_the_name_of_its_callers(place: Place) -> None:
    name = place.plan()
    assert place.patch(name, place.operator.user, YES, "--dry-run=server").code == 0
    nobody = place.patch(name, place.operator.user, {"approved": False, "planHash": HASH}, "--dry-run=server")
    assert "spec.approval.by must be" in nobody.err


def test_who_may_not_approve_may_still_label_and_may_not_take_an_approval_away(place: Place) -> None:
    name = place.plan()
    assert place.patch(name, "ada", YES).code == 0
    there = (f"--namespace={place.namespace}", "--as=bob")
    place.cluster.kubectl("label", "oplan", name, "team=a", *there)
    assert "bob may not change spec.approval" in place.patch(name, "bob", None).err
    assert place.patch(name, "ada", None).code == 0
    assert place.approval(name) is None


def test_an_approver_changes_neither_the_plan_nor_its_status(place: Place) -> None:
    name = place.plan()
    place.patch(name, "ada", YES)
    body = json.dumps({"spec": {"planHash": "cd" * 32}})
    there = (f"--namespace={place.namespace}", "--as=ada", "--type=merge")
    changed = place.cluster.run("patch", "oplan", name, *there, f"--patch={body}")
    assert "spec never changes, apart from spec.approval" in changed.err
    for user in ALL:
        place_of = ("--subresource=status", f"--namespace={place.namespace}", f"--as={user}", "--quiet")
        assert place.cluster.run("auth", "can-i", "patch", "oplan", *place_of).code != 0


def test_a_plan_is_not_created_approved(place: Place) -> None:
    name = place.plan()
    document = copy.deepcopy(place.cluster.get("oplan", name, place.namespace))
    document["metadata"] = {"name": "llama-ffffffff"}
    document["spec"]["approval"] = YES
    created = place.cluster.run("create", f"--namespace={place.namespace}", "-f-", stdin=json.dumps(document))
    assert "spec.approval.by must be" in created.err  # an administrator has every verb, and is not ada


def test_over_http_a_token_is_who_one_is(place: Place) -> None:
    name = place.plan()
    status, answer = place.say(name, "approve", place.token("ada"), {"plan_hash": HASH, "note": "seen"})
    assert (status, answer["spec"]["approval"]["by"]) == (200, place.account("ada"))
    assert place.approval(name) == {
        "approved": True, "by": place.account("ada"), "planHash": HASH, "note": "seen",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["approve", "reject", "rollback"])
def test_over_http_nobody_decides_without_the_verb(word: str, place: Place) -> None:
    name = place.plan()
    assert place.say(name, word, "")[0] == 401
    assert place.say(name, word, "not-a-token")[0] == 401
    for user in ("bob", "eve"):
        status, answer = place.say(name, word, place.token(user))
        right = f'approve optimizationplans.inferplan.dev in namespace "{place.namespace}"'
        assert (status, answer["error"]) == (403, f'user "{place.account(user)}" may not {right}')
    assert place.approval(name) is None


def test_over_http_a_word_has_its_phase_and_its_plan(place: Place) -> None:
    token = place.token("ada")
    assert place.say(place.plan("Superseded"), "approve", token)[0] == 409
    assert place.say(place.plan(), "rollback", token)[0] == 409
    assert place.say(place.plan(), "approve", token, {"plan_hash": "cd" * 32})[0] == 409
    assert place.say("llama-none", "approve", token)[0] == 404
    kept = place.plan("Verified")
    status, answer = place.say(kept, "rollback", token)
    assert (status, "so there is nothing to undo" in answer["error"]) == (409, True)
    carried = {"number": 1, "startedAt": "2026-03-01T12:00:00Z", "targetUid": "1", "appliedDigest": digest(OLD)}
    place.set_status(kept, {"phase": "Verified", "attempt": carried})
    assert place.say(kept, "rollback", token)[0] == 200
    assert place.approval(kept)["approved"] is False
    place.cluster.apply(instance("Off", "off"), namespace=place.namespace)
    status, answer = place.say(place.plan(instance="off"), "approve", token)
    assert (status, "is Off, so nothing would be applied" in answer["error"]) == (409, True)


def test_over_http_one_reads_what_one_may_read(place: Place) -> None:
    name = place.plan()
    own = f"/api/v1/plans?namespace={place.namespace}"
    one = f"/api/v1/plans/{place.namespace}/{name}"
    eve = place.token("eve")
    assert place.ask("GET", own, eve)[0] == 200
    assert place.ask("GET", one, eve)[1]["spec"]["plan_hash"] == HASH
    assert place.ask("GET", "/api/v1/plans", eve)[0] == 403  # of the whole cluster
    assert [place.ask("GET", path, "")[0] for path in (own, one, "/api/v1/instances")] == [401, 401, 401]
    assert place.operator.status("/healthz") == place.operator.status("/metrics") == 200
    assert eve not in place.operator.log()


def test_the_plugin_is_found_and_approves_as_its_user(place: Place) -> None:
    name = place.plan()
    assert "kubectl inferplan" in place.inferplan("-h").out
    shown = place.inferplan("status", name)
    assert (shown.code, shown.err) == (0, "")
    assert f"kubectl inferplan approve {name} -n {place.namespace}" in shown.out
    unasked = place.inferplan("approve", name)
    assert (unasked.code, "add --yes" in unasked.err) == (2, True)
    approved = place.inferplan("approve", name, "--yes", "--note", "seen in staging")
    assert (approved.code, approved.err) == (0, "")
    assert approved.out.splitlines()[-1].startswith(f"{name}: approved by ada; ")
    assert place.approval(name) == {**YES, "note": "seen in staging"}


def test_the_plugin_tells_what_the_policy_says(place: Place) -> None:
    name = place.plan()
    refused = place.inferplan("approve", name, "--yes", user="bob")
    assert refused.code == 1
    assert "bob may not change spec.approval: the verb approve" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert place.approval(name) is None


def test_the_plugin_shows_what_would_change_in_what_runs(place: Place) -> None:
    name = place.plan()
    shown = place.inferplan("diff", name)
    assert (shown.code, shown.err) == (0, "")
    assert '-- "--max-num-seqs=32"\n+- "--max-num-seqs=64"' in shown.out
    assert "Raise the running requests" in place.inferplan("explain", name).out


def test_an_approver_sees_all_that_the_plugin_needs(place: Place) -> None:
    listed = place.inferplan("status")
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines()[0].split() == ["INSTANCE", "MODE", "PLAN", "PHASE", "GAIN", "REALIZED", "WHY"]
    assert place.inferplan("status", "-A").code == 1  # not of namespaces that are none of ada's


def test_what_a_plan_brought_is_a_column_of_its_own(place: Place) -> None:
    name = place.plan()
    place.set_status(name, VERIFIED)
    there = (f"--namespace={place.namespace}", "--output=wide")
    head, row = place.cluster.kubectl("get", "oplan", name, *there).splitlines()
    assert head.split()[-2:] == ["REALIZED", "AGE"]
    assert "REALIZED" not in place.cluster.kubectl("get", "oplan", name, there[0])
    assert row[head.index("REALIZED") :].startswith("throughput +68%")
    text = place.cluster.kubectl("describe", "oplan", name, there[0])
    for line in ("Phase:       Verified", "Verdict:  Keep", "Realized:     throughput +68%"):
        assert " ".join(line.split()) in {" ".join(entry.split()) for entry in text.splitlines()}


VERIFIED = {
    "phase": "Verified",
    "message": "Kept: output tokens per second 1,000 to 1,680.",
    "appliedAt": "2026-03-01T12:01:00Z",
    "conditions": [
        {
            "type": "Verified",
            "status": "True",
            "reason": "ImprovementKept",
            "message": "output tokens per second 1,000 to 1,680",
            "lastTransitionTime": "2026-03-01T12:30:00Z",
        }
    ],
    "attempt": {
        "number": 1,
        "startedAt": "2026-03-01T12:00:00Z",
        "targetUid": "1",
        "appliedDigest": "ab" * 32,
        "patchedAt": "2026-03-01T12:01:00Z",
    },
    "rollback": {"args": list(OLD.args)},
    "verification": {
        "predicted": "throughput +70%",
        "realized": "throughput +68%",
        "error": "-2 percentage points",
        "verdict": "Keep",
        "compared": [
            {
                "metric": "output_tokens_per_second",
                "unit": "tokens/s per replica",
                "before": 1000,
                "predictedLow": 1500,
                "predicted": 1700,
                "predictedHigh": 1900,
                "after": 1680,
            }
        ],
    },
}
