"""The operator as a process, with the rights of deploy/rbac.yaml and no others."""

import base64
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.lab import ROOT, Cluster

from inferplan_lab import kubeconfig
from inferplan_lab.processes import Process, free_port, wait_until

START_SECONDS = 30
ACCOUNT = "inferplan-operator"


class EndedError(RuntimeError):
    """The operator ended at once; the message is its log."""


@dataclass(frozen=True)
class Operator:
    """A running operator.

    Attributes:
        process: The process.
        url: Where its health and metrics are.
        user: Its user name on the API server.
    """

    process: Process
    url: str
    user: str = ""

    def status(self, path: str, token: str = "", method: str = "GET") -> int | None:
        """HTTP status of a path; None when nothing answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def get(self, path: str) -> Any:
        """What it answers to a GET, read as JSON."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What it answers to a POST, read as JSON."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def metrics(self) -> str:
        """Its own metrics, as Prometheus would read them."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            text: str = response.read().decode()
            return text

    def ended(self) -> bool:
        """Whether the process is gone."""
        return not self.process.is_running()

    def log(self) -> str:
        """Everything it has logged."""
        return self.process.log_path.read_text("utf-8")


@contextmanager
def running(folder: Path, credentials: Path, prometheus_url: str, **environment: str) -> Iterator[Operator]:
    """An operator that is ready; stopped afterwards."""
    port = free_port()
    process = started(folder, credentials, prometheus_url, port, **environment)
    operator = Operator(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: operator.ended() or operator.status("/readyz") == 200, START_SECONDS, "a ready operator")
        if operator.ended():
            raise EndedError(operator.log())
        yield operator
    finally:
        process.stop()


def started(folder: Path, credentials: Path, prometheus_url: str, port: int, **environment: str) -> Process:
    """An operator that has only just been started."""
    own = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": str(credentials),
        "INFERPLAN_LEADER_ELECTION": "false",  # tests run several at once, which have nothing to do with each other
        "INFERPLAN_LISTEN_ADDRESS": "127.0.0.1",
        "INFERPLAN_LISTEN_PORT": str(port),
        "INFERPLAN_PROMETHEUS_SOURCES": json.dumps({"default": prometheus_url}),
    }
    process = Process("operator", folder)
    process.start((sys.executable, "-m", "inferplan", "operator"), env=own | environment)
    return process


_APPLYING = (
    *("apply/rbac-apply.yaml", "apply/admission-policy.yaml"),
    *("canary/rbac-canary.yaml", "canary/admission-policy.yaml"),
)


@contextmanager
def service_account(cluster: Cluster, folder: Path, *, applies: bool = False) -> Iterator[tuple[Path, str]]:
    """Kubeconfig and user name of a service account with exactly the rights that deploy/ grants.

    With `applies`, those of the components apply/ and canary/ too, and the admission policies that come with them.
    """
    prefix = f"test-{secrets.token_hex(4)}"
    files = ("rbac.yaml", *(_APPLYING if applies else ()))
    documents = [_renamed(document, prefix) for name in files for document in _documents(name)]
    cluster.kubectl("create", "namespace", prefix)
    try:
        cluster.apply(*documents, namespace=prefix)
        token = cluster.kubectl("create", "token", ACCOUNT, f"--namespace={prefix}").strip()
        file = folder / "operator.kubeconfig"
        kubeconfig.write(file, kubeconfig.Kubeconfig(cluster.url, _certificates(cluster), token))
        yield file, f"system:serviceaccount:{prefix}:{ACCOUNT}"
    finally:
        roles = [name for name in _names(documents) if not name.startswith("serviceaccount/")]
        cluster.kubectl("delete", *roles, "--ignore-not-found")
        cluster.kubectl("delete", "namespace", prefix, "--wait=false")


def granted() -> set[tuple[str, str]]:
    """Every (verb, resource) that deploy/rbac.yaml grants; a resource with its group, as `kubectl auth` takes it."""
    roles = [document for document in _documents("rbac.yaml") if document["kind"] == "ClusterRole"]
    rules = [rule for role in roles for rule in role["rules"]]
    return {
        (verb, _qualified(resource, group))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit_log: Path, user: str, namespace: str) -> set[tuple[str, str, int]]:
    """Every (verb, resource, status) of this user, in this namespace or in none, in an API server's audit log."""
    entries = (json.loads(line) for line in audit_log.read_text("utf-8").splitlines())
    own = (entry for entry in entries if entry["user"]["username"] == user and "objectRef" in entry)
    return {_call(entry) for entry in own if entry["objectRef"].get("namespace", namespace) == namespace}


def _call(entry: Mapping[str, Any]) -> tuple[str, str, int]:
    ref = entry["objectRef"]
    resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
    code = entry.get("responseStatus", {}).get("code", 200)
    return entry["verb"], _qualified(resource, ref.get("apiGroup", "")), code


def _qualified(resource: str, group: str) -> str:
    plural, _, subresource = resource.partition("/")
    return "/".join(part for part in (f"{plural}.{group}".rstrip("."), subresource) if part)


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "deploy" / name).read_text("utf-8")))


def _renamed(document: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Under names of the test's own, so that nobody's installation is touched."""
    text = yaml.safe_dump(document).replace("inferplan-system", prefix)
    renamed: dict[str, Any] = yaml.safe_load(text)
    if renamed["kind"] == "ServiceAccount":
        return renamed
    renamed["metadata"]["name"] = f"{prefix}-{renamed['metadata']['name']}"
    if "roleRef" in renamed:
        renamed["roleRef"]["name"] = f"{prefix}-{renamed['roleRef']['name']}"
    if "policyName" in renamed.get("spec", {}):
        renamed["spec"]["policyName"] = f"{prefix}-{renamed['spec']['policyName']}"
    return renamed


def _names(documents: list[dict[str, Any]]) -> list[str]:
    return [f"{document['kind'].lower()}/{document['metadata']['name']}" for document in documents]


def _certificates(cluster: Cluster) -> str:
    text = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json")
    data = json.loads(text)["clusters"][0]["cluster"]["certificate-authority-data"]
    return base64.b64decode(data).decode()
