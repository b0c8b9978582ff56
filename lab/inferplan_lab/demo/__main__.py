"""`make demo`, `demo-apply`, `demo-down`: python -m inferplan_lab.demo up|apply|down [--cluster local|kind|current]."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from inferplan_lab import binaries
from inferplan_lab.control_plane import ControlPlaneError
from inferplan_lab.lab import NODE_NAME, ROOT, Lab, LabConfig, LabError, own_environment
from inferplan_lab.processes import Process
from inferplan_lab.prometheus import PrometheusError

HERE = Path(__file__).resolve().parent
DEFAULT_STATE = ROOT / ".lab" / "demo"
PLAN_SECONDS = 300
PODS_SECONDS = 120
APPLY_SECONDS = 420
OWNER_WISHES = {
    "mode": "Approve",
    "takeOverFrom": ["kubectl-client-side-apply"],  # `kubectl apply` made the Deployment: its arguments are kubectl's
    "cooldownSeconds": 0,
    "verify": {"windowSeconds": 60, "warmUpSeconds": 15, "minRequests": 50},
}
ENDS = ("Verified", "RolledBack", "Failed")
OPERATOR_NAMESPACE = "inferplan-system"
OPERATOR = "inferplan-operator"
OVERLAY = """\
# Written by make demo: deploy/ as it is, on the lab's node, with the lab's Prometheus and a quick schedule.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{deploy}]
components: [{deploy}/apply]
patches:
- target: {{kind: Deployment, name: inferplan-operator}}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: inferplan-operator}}
    spec:
      template:
        spec:
          nodeSelector: {{kubernetes.io/hostname: {node}}}
          containers:
          - name: operator
            env:
            - {{name: INFERPLAN_PROMETHEUS_SOURCES, value: '{sources}'}}
            - {{name: INFERPLAN_RESYNC_SECONDS, value: "15"}}
            # The lab's node has no mount namespace for the service account's token; this file holds one.
            - {{name: KUBECONFIG, value: {kubeconfig}}}
"""


class Demo:
    """The demo's story, one step after the other."""

    def __init__(self, lab: Lab, report: Callable[[str], None]) -> None:
        self._lab = lab
        self._report = report
        self._traffic = Process("traffic", lab.config.state.absolute() / "traffic", detached=lab.config.detached)

    def up(self) -> None:
        """Starts everything, waits for the plan and prints it.

        Raises:
            LabError: A step did not come to its end in time.
        """
        self._report("1/6 cluster, Prometheus and a node with H100 GPUs")
        self._lab.start()
        self._report("2/6 CRDs, RBAC and the operator (kubectl apply -k deploy/)")
        self._apply_operator()
        self._report("3/6 a vLLM server with a batch limit that is too low, and its load (64 clients)")
        self._lab.kubectl("apply", "-f", str(HERE / "engine.yaml"))
        self._wait_for_pods("serving", "app=llama-8b")
        self._start_traffic()
        self._wait_for_pods(OPERATOR_NAMESPACE, "app.kubernetes.io/name=inferplan-operator")
        self._report("4/6 the InferenceInstance (kubectl apply -f lab/inferplan_lab/demo/instance.yaml)")
        self._lab.kubectl("apply", "-f", str(HERE / "instance.yaml"))
        self._report("5/6 waiting for the plan: InferPlan needs a minute of measurements")
        name = self._wait_for_plan()
        self._report("6/6 the plan\n")
        self._print_plan(name)

    def apply(self) -> None:
        """Approves the plan that up printed, and waits for what it brings.

        Raises:
            LabError: It did not come to its end in time.
        """
        self._report("1/3 the owner lets plans be applied after approval (spec.apply.mode: Approve)")
        self._patch("inferenceinstance", "llama-8b", {"apply": OWNER_WISHES})
        name = self._wait_for_plan()
        self._wait(PLAN_SECONDS, lambda: self._plan(name, "phase") == "AwaitingApproval", f"{name} AwaitingApproval")
        self._report(f"2/3 somebody approves {name}")
        self._plugin("approve", name, "--yes")
        self._report("3/3 it is written, rolled out, and held against the minute before")
        ended = lambda: self._plan(name, "phase") in ENDS  # noqa: E731  as the other waits have it
        self._wait(APPLY_SECONDS, ended, f"the end of {name}", lambda: self._plan(name, "message"))
        self._plugin("status", name)

    def down(self) -> None:
        """Stops everything that up started."""
        self._traffic.stop()
        self._lab.stop()
        self._report(f"demo stopped; its data stay in {self._lab.config.state} (delete the folder for a fresh one)")

    def _apply_operator(self) -> None:
        folder = self._lab.config.state.absolute() / "overlay"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kustomization.yaml").write_text(self._overlay(folder), encoding="utf-8")
        documents = list(yaml.safe_load_all(self._lab.kubectl("kustomize", str(folder))))
        self._apply([document for document in documents if document["kind"] != "Deployment"])
        for plural in ("inferenceinstances", "optimizationplans"):
            self._lab.kubectl("wait", "--for=condition=Established", f"crd/{plural}.inferplan.dev", "--timeout=60s")
        self._lab.service_account_kubeconfig(OPERATOR_NAMESPACE, OPERATOR)
        self._apply([document for document in documents if document["kind"] == "Deployment"])

    def _overlay(self, folder: Path) -> str:
        return OVERLAY.format(
            deploy=os.path.relpath(ROOT / "deploy", folder),
            node=NODE_NAME,
            sources=json.dumps({"default": self._lab.prometheus.url}),
            kubeconfig=self._lab.config.state.absolute() / f"{OPERATOR}.kubeconfig",
        )

    def _apply(self, documents: list[object]) -> None:
        text = yaml.safe_dump_all(documents)
        self._lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def _start_traffic(self) -> None:
        if self._traffic.is_running():
            return
        kubectl = str(binaries.ensure(("kubectl",), self._report)["kubectl"])
        argv = (
            *(sys.executable, "-m", "inferplan_lab.demo.traffic", "--kubeconfig", str(self._lab.kubeconfig)),
            *("--kubectl", kubectl, "-n", "serving", "-l", "app=llama-8b"),
        )
        self._traffic.start(argv, env=own_environment())

    def _wait_for_pods(self, namespace: str, selector: str) -> None:
        self._wait(PODS_SECONDS, lambda: self._ready(namespace, selector), f"a ready pod {selector} in {namespace}")

    def _ready(self, namespace: str, selector: str) -> bool:
        path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        answer = self._lab.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", f"jsonpath={path}")
        return "True" in answer.split()

    def _wait_for_plan(self) -> str:
        self._wait(PLAN_SECONDS, lambda: self._plan_name() != "", "the plan", self._progress)
        return self._plan_name()

    def _plan_name(self) -> str:
        return self._instance("{.status.plan.name}")

    def _plan(self, name: str, field: str) -> str:
        return self._lab.kubectl("get", "oplan", name, "-n", "serving", "-o", f"jsonpath={{.status.{field}}}")

    def _plugin(self, *words: str) -> None:
        """`kubectl inferplan …`, as a person would."""
        kubectl = binaries.ensure(("kubectl",), self._report)["kubectl"]
        env = {**own_environment(), "KUBECONFIG": str(self._lab.kubeconfig)}
        env["PATH"] = f"{kubectl.parent}:{env.get('PATH', '')}"
        print(f"$ kubectl inferplan {' '.join(words)} -n serving", flush=True)
        command = "import sys; from inferplan.cli.plugin import main; sys.exit(main())"
        subprocess.run((sys.executable, "-c", command, *words, "-n", "serving"), check=True, env=env)

    def _patch(self, kind: str, name: str, spec: Mapping[str, object]) -> None:
        patch = json.dumps({"spec": spec})
        self._lab.kubectl("patch", kind, name, "-n", "serving", "--type=merge", f"--patch={patch}")

    def _progress(self) -> str:
        """What the operator says while one waits: its Ready message."""
        return self._instance('{.status.conditions[?(@.type=="PlanCurrent")].message}')

    def _instance(self, path: str) -> str:
        return self._lab.kubectl("get", "ii", "llama-8b", "-n", "serving", "-o", f"jsonpath={path}")

    def _wait(
        self, seconds: float, condition: Callable[[], bool], what: str, progress: Callable[[], str] | None = None
    ) -> None:
        deadline, said = time.monotonic() + seconds, ""
        while not condition():
            if time.monotonic() > deadline:
                state = self._lab.config.state
                afresh = "to start afresh: make demo-down, delete that folder, make demo"
                raise LabError(f"{what}: not there after {seconds:.0f} s; logs are in {state}; {afresh}")
            saying = progress() if progress is not None else ""
            if saying and saying != said:
                self._report(f"    … {saying}")
                said = saying
            time.sleep(1)

    def _print_plan(self, name: str) -> None:
        program = binaries.ensure(("kubectl",), self._report)["kubectl"]
        print("$ kubectl get ii,oplan -n serving")
        print(self._lab.kubectl("get", "ii,oplan", "-n", "serving"))
        document = self._lab.kubectl("get", "oplan", name, "-n", "serving", "-o", "json")
        sys.stdout.flush()
        show = (sys.executable, "-m", "inferplan", "show", "-f", "-")
        subprocess.run(show, input=document, text=True, check=True, env=own_environment())
        print(f"""
Everything keeps running. Try:
  export KUBECONFIG={self._lab.kubeconfig} PATH={program.parent}:{Path(sys.executable).parent}:$PATH
  kubectl inferplan status -n serving
  kubectl inferplan diff llama-8b -n serving
  kubectl describe ii llama-8b -n serving
  kubectl describe oplan {name} -n serving
  kubectl explain inferenceinstance.spec --recursive
  kubectl get events -n serving
  {self._lab.prometheus.url}   (Prometheus)
  make demo-apply             (approves the plan, and shows what it brings)
  make demo-down              (stops all of it)""")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs or stops the demo; one line on stderr and exit code 1 where it cannot."""
    parser = argparse.ArgumentParser(prog="inferplan_lab.demo", description=__doc__)
    parser.add_argument("action", choices=("up", "apply", "down"))
    parser.add_argument("--cluster", choices=("local", "kind", "current"), default="local")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder for data, logs and pid files")
    parser.add_argument("--attached", action="store_true", help="stop everything once the plan is printed")
    options = parser.parse_args(arguments)
    report = binaries.console_report(sys.stderr)
    config = LabConfig(state=options.state, cluster=options.cluster)
    demo = Demo(Lab(config, report), report)
    try:
        _run(demo, options)
    except (LabError, ControlPlaneError, PrometheusError, binaries.ProgramUnavailableError, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; make demo-down stops what runs, make demo goes on", file=sys.stderr)
        return 130
    return 0


def _run(demo: Demo, options: argparse.Namespace) -> None:
    if options.action != "up":
        demo.down() if options.action == "down" else demo.apply()
        return
    try:
        demo.up()
    finally:
        if options.attached:
            demo.down()


if __name__ == "__main__":
    sys.exit(main())
