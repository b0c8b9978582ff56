"""deploy/ on the real API server: Pod Security admits the pod, RBAC is enough and no more, examples are accepted.

The manifests are applied under names of their own, so that a run against the current cluster meets nobody's
installation.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.lab import ROOT, Cluster, random_namespace

from inferplan.api.values import Engine
from inferplan.dialects.keys import KEYS, flag_name
from inferplan_lab.processes import wait_until

DEPLOY = ROOT / "deploy"
COMPONENTS = ("apply", "canary", "namespaced", "network-policy", "service-monitor")
PATIENCE_SECONDS = 60
NOT_OURS = ("CustomResourceDefinition",)
RENAMED = ROOT / "operator" / "inferplan" / "dialects" / "data" / "renamed.json"

ALLOWED = (
    "get inferenceinstances.inferplan.dev",
    "list inferenceinstances.inferplan.dev",
    "watch inferenceinstances.inferplan.dev",
    "patch inferenceinstances.inferplan.dev/status",
    "get optimizationplans.inferplan.dev",
    "list optimizationplans.inferplan.dev",
    "watch optimizationplans.inferplan.dev",
    "create optimizationplans.inferplan.dev",
    "delete optimizationplans.inferplan.dev",
    "patch optimizationplans.inferplan.dev/status",
    "get deployments.apps",
    "list deployments.apps",
    "watch deployments.apps",
    "get statefulsets.apps",
    "list statefulsets.apps",
    "watch statefulsets.apps",
    "list pods",
    "get configmaps",
    "get nodes",
    "create events",
    "create tokenreviews.authentication.k8s.io",
    "create subjectaccessreviews.authorization.k8s.io",
)
REFUSED = (
    "patch inferenceinstances.inferplan.dev",
    "patch optimizationplans.inferplan.dev",
    "approve optimizationplans.inferplan.dev",
    "patch deployments.apps",
    "update deployments.apps",
    "delete deployments.apps",
    "patch statefulsets.apps",
    "get secrets",
    "list secrets",
    "list configmaps",
    "create pods",
    "create pods/exec",
    "get pods/log",
    "list nodes",
    "create customresourcedefinitions.apiextensions.k8s.io",
)


@dataclass(frozen=True)
class Installed:
    """deploy/ under names that end in the namespace's own suffix."""

    cluster: Cluster
    namespace: str
    suffix: str

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{self.namespace}:inferplan-operator{self.suffix}"

    def may(self, verb_and_resource: str, namespace: str = "default") -> bool:
        verb, resource = verb_and_resource.split()
        name, _, subresource = resource.partition("/")
        sub = (f"--subresource={subresource}",) if subresource else ()
        asked = ("auth", "can-i", verb, name, *sub, f"--namespace={namespace}", f"--as={self.account}", "--quiet")
        return self.cluster.run(*asked).code == 0


def render(cluster: Cluster, folder: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(cluster.kubectl("kustomize", str(folder))) if document]


def overlay(folder: Path, components: tuple[str, ...], namespace: str = "", suffix: str = "") -> Path:
    """A kustomization of deploy/ with components, in `folder`."""
    relative = Path(*[".."] * (len(folder.resolve().parts) - 1), *DEPLOY.parts[1:])
    body: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(relative)],
        "components": [str(relative / name) for name in components],
    }
    if namespace:
        body |= {"namespace": namespace, "nameSuffix": suffix}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(body), "utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """deploy/, applied; a warning of the server fails it."""
    with random_namespace(control_plane, "deploy") as namespace:
        suffix = namespace.removeprefix("deploy")
        folder = overlay(tmp_path_factory.mktemp("overlay"), (), namespace, suffix)
        ours = [document for document in render(control_plane, folder) if document["kind"] not in NOT_OURS]
        text = yaml.safe_dump_all(ours)
        answer = control_plane.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)
        assert (answer.code, answer.err) == (0, "")
        ready = Installed(control_plane, namespace, suffix)
        try:
            one_of_each_binding = ("create events", "get nodes", "create tokenreviews.authentication.k8s.io")
            wait_until(lambda: all(map(ready.may, one_of_each_binding)), PATIENCE_SECONDS, "the operator's rights")
            yield ready
        finally:
            control_plane.run("delete", "--filename=-", "--wait=false", "--ignore-not-found", stdin=text)


def test_pod_security_is_enforced_in_the_operators_namespace(installed: Installed) -> None:
    labels = installed.cluster.get("namespace", installed.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pod_security_refuses_a_pod_that_is_not_restricted(installed: Installed) -> None:
    run = ("run", "plain", "--image=none", f"--namespace={installed.namespace}", "--dry-run=server")
    answer = installed.cluster.run(*run)
    assert answer.code != 0
    assert 'violates PodSecurity "restricted' in answer.err


def test_the_operators_pod_is_admitted(installed: Installed) -> None:
    def pods() -> list[dict[str, Any]]:
        text = installed.cluster.kubectl("get", "pods", f"--namespace={installed.namespace}", "--output=json")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    wait_until(lambda: len(pods()) == 1, PATIENCE_SECONDS, "the operator's pod, made by its ReplicaSet")
    (pod,) = pods()
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "inferplan-operator"
    assert pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"].startswith("inferplan-config")


@pytest.mark.parametrize("right", ALLOWED)
def test_the_operator_may(right: str, installed: Installed) -> None:
    assert installed.may(right)


@pytest.mark.parametrize("right", REFUSED)
def test_the_operator_may_not(right: str, installed: Installed) -> None:
    assert not installed.may(right)


def test_the_operator_may_lead_from_its_own_namespace_alone(installed: Installed) -> None:
    for verb in ("get", "create", "update"):
        assert installed.may(f"{verb} leases.coordination.k8s.io", installed.namespace)
        assert not installed.may(f"{verb} leases.coordination.k8s.io")
    assert not installed.may("delete leases.coordination.k8s.io", installed.namespace)


def test_the_tables_of_rights_name_every_right_that_is_granted(control_plane: Cluster) -> None:
    roles = [document for document in render(control_plane, DEPLOY) if document["kind"] == "ClusterRole"]
    granted = {
        f"{verb} {resource.replace('/', f'.{group}/', 1) if '/' in resource else f'{resource}.{group}'.rstrip('.')}"
        for role in roles
        if role["metadata"]["name"] in {"inferplan-observe", "inferplan-read-nodes", "inferplan-authenticate"}
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == set(ALLOWED)


def test_people_who_may_edit_write_instances_and_only_admins_approve(installed: Installed) -> None:
    cluster, namespace = installed.cluster, installed.namespace
    for role in ("view", "edit", "admin"):
        cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "-n", namespace)

    def may(user: str, verb: str, resource: str) -> bool:
        return cluster.run("auth", "can-i", verb, resource, "-n", namespace, f"--as={user}er", "--quiet").code == 0

    wait_until(
        lambda: may("admin", "patch", "oplan") and may("admin", "delete", "oplan"),
        PATIENCE_SECONDS,
        "the roles' aggregation",
    )
    assert may("view", "list", "oplan")
    assert not may("view", "create", "ii")
    assert may("edit", "create", "ii")
    assert not may("edit", "patch", "oplan")
    assert not may("edit", "approve", "oplan")
    assert may("admin", "approve", "oplan")
    assert not may("admin", "create", "oplan")
    assert may("admin", "delete", "oplan")
    assert not may("edit", "delete", "oplan")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_renders_with_the_rest(component: str, control_plane: Cluster, tmp_path: Path) -> None:
    plain = {(document["kind"], document["metadata"]["name"]) for document in render(control_plane, DEPLOY)}
    documents = render(control_plane, overlay(tmp_path, (component,)))
    assert {(document["kind"], document["metadata"]["name"]) for document in documents} - plain


def test_all_components_fit_together_and_the_server_takes_them(control_plane: Cluster, tmp_path: Path) -> None:
    documents = render(control_plane, overlay(tmp_path, COMPONENTS))
    known = [document for document in documents if document["kind"] not in {*NOT_OURS, "ServiceMonitor"}]
    for name in ("inferplan-system", "serving"):  # a dry run needs the namespaces to be there
        control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    text = yaml.safe_dump_all(known)
    answer = control_plane.run("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f-", stdin=text)
    assert (answer.code, answer.err) == (0, "")


def test_the_service_monitor_picks_the_service_and_its_port(control_plane: Cluster, tmp_path: Path) -> None:
    documents = render(control_plane, overlay(tmp_path, ("service-monitor",)))
    (monitor,) = (document for document in documents if document["kind"] == "ServiceMonitor")
    (service,) = (document for document in documents if document["kind"] == "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize("more", [(), ("apply", "canary")], ids=str)
def test_the_namespaced_component_leaves_no_right_on_the_whole_cluster_but_nodes(
    more: tuple[str, ...], control_plane: Cluster, tmp_path: Path
) -> None:
    documents = render(control_plane, overlay(tmp_path, (*more, "namespaced")))
    bindings = [document for document in documents if document["kind"] == "ClusterRoleBinding"]
    assert {document["roleRef"]["name"] for document in bindings} == {"inferplan-authenticate", "inferplan-read-nodes"}
    narrowed = [
        document
        for document in documents
        if document["kind"] == "RoleBinding" and document["metadata"]["name"] != "inferplan-lead"
    ]
    names = {"inferplan-observe", *(f"inferplan-{name}" for name in more)}
    assert {document["metadata"]["name"] for document in narrowed} == names
    assert {document["roleRef"]["name"] for document in narrowed} == names
    (deployment,) = (document for document in documents if document["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (watched,) = {document["metadata"]["namespace"] for document in narrowed}
    assert container["env"] == [{"name": "INFERPLAN_NAMESPACES", "value": watched}]


@pytest.mark.parametrize("path", sorted((DEPLOY / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_accepted_without_a_warning(path: Path, control_plane: Cluster, namespace: str) -> None:
    applied = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    answer = control_plane.run(*applied, f"--filename={path}", f"--namespace={namespace}")
    assert (answer.code, answer.err) == (0, "")


WORKLOAD: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llama"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "llama"}},
        "template": {
            "metadata": {"labels": {"app": "llama"}},
            "spec": {
                "containers": [
                    {
                        "name": "vllm",
                        "image": "vllm/vllm-openai:v0.33.0",
                        "args": ["--trust-remote-code", "--max-num-seqs=32", "--port", "8000"],
                        "env": [{"name": "A", "value": "b"}],
                    }
                ]
            },
        },
    },
}


@pytest.fixture(scope="module")
def guarded(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The same with the component apply/, whose policy is about this installation's account."""
    folder = overlay(tmp_path_factory.mktemp("apply"), ("apply",), installed.namespace, installed.suffix)
    names = {f"inferplan-{name}{installed.suffix}" for name in ("apply", "leases")}
    added = [document for document in render(installed.cluster, folder) if document["metadata"]["name"] in names]
    text = yaml.safe_dump_all(added)
    installed.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=text)
    installed.cluster.apply(WORKLOAD, namespace=installed.namespace)
    tries = (lambda: patch(installed, {"replicas": 9}), lambda: lease(installed, "kube-scheduler"))
    wait_until(lambda: all("InferPlan may" in (send() or "") for send in tries), PATIENCE_SECONDS, "the policies")
    yield installed
    installed.cluster.run("delete", "--filename=-", "--wait=false", "--ignore-not-found", stdin=text)


def patch(
    operator: Installed, spec: dict[str, Any], meta: dict[str, Any] | None = None, name: str = "llama"
) -> str | None:
    """Patches a workload as the operator, as a dry run; returns what refuses it."""
    body = json.dumps({"spec": spec, "metadata": meta or {}})
    place = ("deployment", name, f"--namespace={operator.namespace}", f"--as={operator.account}")
    answer = operator.cluster.run("patch", *place, "--dry-run=server", "--type=strategic", f"--patch={body}")
    return answer.err if answer.code != 0 else None


def lease(operator: Installed, name: str) -> str | None:
    """Makes a Lease as the operator, as a dry run; returns what refuses it."""
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
    place = (f"--namespace={operator.namespace}", f"--as={operator.account}", "--dry-run=server", "--filename=-")
    answer = operator.cluster.run("create", *place, stdin=json.dumps(body))
    return answer.err if answer.code != 0 else None


def of_container(**fields: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "vllm", **fields}]}}}


@pytest.mark.parametrize(
    "args",
    [
        ["--trust-remote-code", "--max-num-seqs=64", "--port", "8000"],
        ["--max-num-seqs=64", "--kv-cache-dtype", "fp8", "--trust-remote-code", "--enforce-eager", "--port", "8000"],
        ["--model=org/twin-FP8", "--trust-remote-code", "--port", "8000"],
    ],
    ids=str,
)
def test_with_the_component_apply_the_operator_may_change_arguments(args: list[str], guarded: Installed) -> None:
    assert patch(guarded, of_container(args=args)) is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["vllm", "serve", "org/m", "--max-num-seqs=64"], None),
        (["sh", "serve", "org/m", "--max-num-seqs=64"], "nothing of a container but its args"),
        ([], "nothing of a container but its args"),
    ],
    ids=str,
)
def test_where_the_command_carries_them_it_may_change_both_but_not_the_program(
    command: list[str], said: str | None, guarded: Installed
) -> None:
    body = copy.deepcopy(WORKLOAD)
    body["metadata"]["name"] = "by-command"
    (container,) = body["spec"]["template"]["spec"]["containers"]
    container["command"] = ["vllm", "serve", "org/m", "--max-num-seqs=32"]
    container["args"] = ["--max-model-len=4096"]
    guarded.cluster.apply(body, namespace=guarded.namespace)
    args = ["--max-model-len=8192"]
    refused = patch(guarded, of_container(command=command or None, args=args), name="by-command")
    assert refused is None if said is None else said in (refused or "")


def test_it_may_say_which_plan_wrote_them(guarded: Installed) -> None:
    assert patch(guarded, {}, {"annotations": {"inferplan.dev/attempt": "llama-1"}}) is None


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {"inferplan.dev/canary": "x"}},
        {"annotations": {"inferplan.dev/paused": "false"}},
        {"finalizers": ["example.com/never"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]},
    ],
    ids=lambda meta: next(iter(meta)),
)
def test_it_may_neither_mark_a_workload_nor_have_it_collected(meta: dict[str, Any], guarded: Installed) -> None:
    assert "InferPlan may not change a workload's labels, owners" in (patch(guarded, {}, meta) or "")


@pytest.mark.parametrize(
    "args",
    [
        ["--max-num-seqs=32", "--port", "8000"],
        ["--trust-remote-code", "--max-num-seqs=32", "--port", "8001"],
        ["--trust-remote-code", "--max-num-seqs=32", "--port", "8000", "--middleware", "os.system"],
        ["--trust-remote-code", "--max-num-seqs=32", "--port", "8000", "--worker_cls=evil.Worker"],
        ["--trust-remote-code", "--max-num-seqs=32", "--port", "8000", "--kv-transfer-config", '{"a": "b c"}'],
        ["--trust-remote-code", "--max-num-seqs=32", "--port", "8000", "--allowed-local-media-path", "/"],
        ["--trust-remote-code", "--max-num-seqs=32\n--config=/etc/x", "--port", "8000"],
    ],
    ids=lambda args: args[-1],
)
def test_it_may_not_touch_arguments_that_run_code_or_open_files(args: list[str], guarded: Installed) -> None:
    assert "InferPlan may not touch arguments by which" in (patch(guarded, of_container(args=args)) or "")


def test_no_flag_that_is_tuned_or_renamed_is_among_those() -> None:
    (policy, *_) = yaml.safe_load_all((DEPLOY / "apply" / "admission-policy.yaml").read_text("utf-8"))
    told = next(entry for entry in policy["spec"]["variables"] if entry["name"] == "guarded")["expression"]
    guarded_flags = re.compile("".join(re.findall("'([^']*)'", told)).replace("\\\\", "\\"))
    read_only = {"port", "trust_remote_code"}  # keys by which a person asks; no optimizer moves them
    own = {flag_name(engine, key.name) for engine in Engine for key in KEYS if key.name not in read_only}
    renamed = set(re.findall("--[a-z0-9-]+", RENAMED.read_text("utf-8")))
    assert {"--max-num-seqs", "--mem-fraction-static", "--quantize"} <= own
    assert [flag for flag in sorted({*filter(None, own), *renamed}) if guarded_flags.search(flag)] == []
    assert guarded_flags.findall("vllm serve --middleware x --port\n80 --seed 1") == [" --middleware x", " --port\n80"]


def test_of_leases_it_may_write_its_own_alone(guarded: Installed) -> None:
    assert lease(guarded, "inferplan-0123456789abcdef") is None
    assert "InferPlan may write no Leases but its own" in (lease(guarded, "kube-controller-manager") or "")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (of_container(image="evil:1"), "nothing of a container but its args"),
        (of_container(command=["sh", "-c"]), "nothing of a container but its args"),
        (of_container(env=[{"name": "LD_PRELOAD", "value": "/tmp/x.so"}]), "nothing of a container but its args"),
        (of_container(securityContext={"privileged": True}), "nothing of a container but its args"),
        ({"template": {"spec": {"containers": [{"name": "more", "image": "evil:1"}]}}}, "add, remove or rename"),
        ({"template": {"spec": {"initContainers": [{"name": "i", "image": "evil:1"}]}}}, "volumes, identity"),
        ({"template": {"spec": {"serviceAccountName": "admin"}}}, "volumes, identity"),
        ({"template": {"spec": {"hostNetwork": True}}}, "volumes, identity"),
        ({"template": {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}}, "volumes, identity"),
        ({"template": {"metadata": {"annotations": {"a": "b"}}}}, "labels and annotations"),
        (of_container(livenessProbe={"exec": {"command": ["sh"]}}), "nothing of a container but its args"),
        (of_container(imagePullPolicy="Never"), "nothing of a container but its args"),
        ({"template": {"spec": {"runtimeClassName": "none"}}}, "volumes, identity"),
        ({"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}}, "volumes, identity"),
        ({"template": {"spec": {"imagePullSecrets": [{"name": "s"}]}}}, "volumes, identity"),
        ({"template": {"spec": {"shareProcessNamespace": True}}}, "volumes, identity"),
        ({"template": {"spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["hf.co"]}]}}}, "volumes, identity"),
        ({"replicas": 5}, "replicas, selector"),
        ({"paused": True}, "replicas, selector"),
        ({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, "replicas, selector"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:50],
)
def test_with_the_component_apply_it_may_still_change_nothing_else(
    spec: dict[str, Any], said: str, guarded: Installed
) -> None:
    refused = patch(guarded, spec)
    assert refused is not None
    assert "InferPlan may" in refused
    assert said in refused


def test_the_policy_is_about_the_operator_alone(guarded: Installed) -> None:
    place = ("deployment", "llama", f"--namespace={guarded.namespace}", "--dry-run=server")
    body = json.dumps({"spec": {"replicas": 5}})
    guarded.cluster.kubectl("patch", *place, f"--patch={body}")
