"""One workload whose plan is applied on a real API server, as the people around it see it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.lab import Answer
from tests.support.serving_objects import inference_instance, workload
from tests.support.stage import Stage
from typing_extensions import override

ENDED = frozenset({"Verified", "RolledBack", "Rejected", "Superseded", "Failed"})
POLL_SECONDS = 0.5
OWNER = "trial"
"""Who made the workload, and lets its arguments be taken over unless a test says otherwise."""
QUICK = {"warmUpSeconds": 0, "windowSeconds": 60, "minRequests": 50}
"""A minute is the shortest window that a source is asked for."""


@dataclass
class Trial(Stage):
    """One namespace with a workload "llama", or several."""

    patience_seconds: float = 90.0
    name: str = "llama"
    limit: int = 32
    source: str = "fake"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def args(self) -> list[str]:
        """What the engine is told before any plan."""
        return [f"--max-num-seqs={self.limit}", "--max-model-len=8192"]

    @property
    def changed(self) -> list[str]:
        """And with the plan: twice as many at once."""
        return [f"--max-num-seqs={2 * self.limit}", "--max-model-len=8192"]

    @override
    def until(self, condition: Callable[[], bool], what: str) -> None:
        """As a stage does, asked less often: what is waited for takes seconds, and each kubectl takes a core."""

        def rested() -> bool:
            if condition():
                return True
            time.sleep(POLL_SECONDS)
            return False

        super().until(rested, what)

    def begin(self, mode: str = "Auto", *, manager: str = OWNER, **apply: Any) -> None:
        """Makes the workload as `manager` would, waits until it stands, and then its instance."""
        self.make(manager=manager)
        self.stands()
        self.instance(mode, **apply)

    def make(self, *, manager: str = OWNER, kind: str = "Deployment", probe: bool = False, **spec: Any) -> None:
        """Makes the workload, server-side."""
        document = self.document(kind)
        document["spec"] |= spec
        if probe:
            probing = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1}
            document["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probing
        self.put(document, manager)

    def put(self, document: dict[str, Any], manager: str) -> dict[str, Any]:
        """Applies a document as a tool does that lets nobody else own what it writes; the object as it is then."""
        applied = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "--output=json")
        answer: dict[str, Any] = json.loads(self.kubectl(*applied, "--filename=-", stdin=json.dumps(document)))
        return answer

    def document(self, kind: str = "Deployment") -> dict[str, Any]:
        """The workload of one pod on the lab's node; `extra` is what its engine is told about this trial."""
        told = {"TRIAL_GOOD": str(self.limit), **self.extra}
        command = ["vllm", "serve", "meta-llama/Llama-3.1-8B"]
        variables = [{"name": name, "value": value} for name, value in told.items()]
        document = workload(self.name, *self.args, kind=kind, command=command, env=variables)
        template = document["spec"]["template"]
        template["metadata"]["labels"]["trial"] = self.name
        template["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"}
        template["spec"] |= {"terminationGracePeriodSeconds": 1}
        return document

    def instance(self, mode: str = "Auto", *, spec: dict[str, Any] | None = None, **apply: Any) -> None:
        """The instance; only the batch limit is to be moved."""
        base = {
            "targetRef": {"name": self.name},
            "constraints": {"optimizers": ["batching"]},
            "metrics": {"prometheusRef": self.source, "windowSeconds": 60},
            "apply": {"mode": mode, "verify": QUICK, "cooldownSeconds": 3600, "takeOverFrom": [OWNER], **apply},
        }
        self.apply(inference_instance(self.name, **{**base, **(spec or {})}))

    def stands(self) -> None:
        """Waits until the workload is rolled out."""
        self.until(self._available, f"{self.namespace}/{self.name}: its pod")

    def _available(self) -> bool:
        status = self.live().get("status", {})
        return status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == 1

    def kind(self) -> str:
        """Kind of the workload."""
        found = self.kubectl("get", "deploy,sts", "--output=jsonpath={.items[*].kind}").split()
        return found[0]

    def live(self) -> dict[str, Any]:
        """The workload."""
        return self.cluster.get(self.kind(), self.name, self.namespace)

    def engine(self) -> dict[str, Any]:
        """The engine's container of the workload's template."""
        container: dict[str, Any] = self.live()["spec"]["template"]["spec"]["containers"][0]
        return container

    def plan(self) -> dict[str, Any]:
        """The first plan of this workload that no other took the place of; an empty one while there is none."""
        own = [plan for plan in self.plans() if plan["spec"]["instanceRef"]["name"] == self.name]
        ordered = sorted(own, key=lambda plan: (_phase(plan) == "Superseded", plan["metadata"]["creationTimestamp"]))
        return ordered[0] if ordered else {}

    def phase(self) -> str:
        """Its phase."""
        return _phase(self.plan())

    def until_phase(self, *phases: str) -> dict[str, Any]:
        """Waits until the plan is in one of the phases; the plan."""
        self.until(lambda: self.phase() in phases, f"{self.namespace}/{self.name} {phases}, {self.told()}")
        return self.plan()

    def told(self) -> str:
        """Phase and message of the plan."""
        status = self.plan().get("status", {})
        return f"{status.get('phase')}: {status.get('message')}"

    def decide(self, *, approved: bool = True, plan_hash: str = "") -> Answer:
        """A person's word, as kubectl patches it."""
        plan = self.plan()
        approval = {"approved": approved, "by": "ada", "planHash": plan_hash or plan["spec"]["planHash"]}
        body = json.dumps({"spec": {"approval": approval}})
        name = plan["metadata"]["name"]
        return self.cluster.run("patch", "oplan", name, f"-n{self.namespace}", "--type=merge", f"--patch={body}")

    def approve(self) -> None:
        """Waits for the plan and approves it."""
        self.until_phase("AwaitingApproval", "Scheduled")
        answer = self.decide()
        assert answer.code == 0, answer.err

    def until_waits_for(self, reason: str) -> str:
        """Waits until the gate with this reason is closed; its sentence."""
        self.until(lambda: self.of_plan("GatesPassed")[1] == reason, f"{self.namespace}: {reason}, {self.told()}")
        return self.of_plan("GatesPassed")[2]

    def of_plan(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of the plan's condition; of none, empty ones."""
        for entry in self.plan().get("status", {}).get("conditions", ()):
            if entry["type"] == kind:
                return entry["status"], entry["reason"], entry["message"]
        return "", "", ""

    def own_writes(self) -> int:
        """Writes of the operator on this workload that went through, by the API server's own record."""
        log = self.cluster.kubeconfig.parent / "audit.log"
        return sum(self._is_write(json.loads(line)) for line in log.read_text("utf-8").splitlines())

    def _is_write(self, entry: dict[str, Any]) -> bool:
        ref = entry.get("objectRef", {})
        return (
            entry["user"]["username"] == self.operator.user
            and (ref.get("namespace"), ref.get("name")) == (self.namespace, self.name)
            and ref.get("resource") in {"deployments", "statefulsets"}
            and entry["verb"] == "patch"
            and "dryRun" not in entry["requestURI"]
            and entry.get("responseStatus", {}).get("code") == 200
        )

    def events(self) -> set[str]:
        """Reasons of the namespace's events."""
        return set(self.kubectl("get", "events", "--output=jsonpath={.items[*].reason}").split())

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Kubectl in the namespace."""
        return self.cluster.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)


def _phase(plan: dict[str, Any]) -> str:
    phase: str = plan.get("status", {}).get("phase", "")
    return phase
