"""The real vLLM under mode Auto: benchmarks/auto/run.py --vllm VENV --model FOLDER, with PYTHONPATH=operator:lab:.

Four requests run at once, and 24 clients want more. The operator measures, plans, applies, measures again, and keeps or
undoes it. Eight minutes on two cores that nothing else uses; how much others took all the same stands in the result.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.auto.cores import Others
from tests.support import operator_process
from tests.support.lab import Cluster, install_crds
from tests.support.trial import ENDED

from inferplan_lab import binaries
from inferplan_lab.lab import NODE_NAME, ROOT, Lab, LabConfig, own_environment
from inferplan_lab.processes import Process, wait_until

NAMESPACE, NAME = "serving", "tiny"
LIMIT = 4
CLIENTS, PROMPT, ANSWER = 24, 200, 150
START_SECONDS, WAIT_SECONDS = 300.0, 900.0
IMAGES = "lab/inferplan_lab/node/images-real-vllm.yaml"
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


def main() -> int:
    options = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="auto-"))
    config = LabConfig(
        state=folder / "lab",
        detached=False,
        node_options=("--images", str(ROOT / IMAGES), "--gpu-count", "0"),
        node_environment={"REAL_VLLM": str(options.vllm.absolute())},
    )
    with Lab(config) as lab:
        document = _story(lab, folder, options)
    options.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(json.dumps(document["verification"], indent=1))
    return 0 if document["phase"] == "Verified" else 1


def _story(lab: Lab, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    kubectl = binaries.ensure(("kubectl",), print)
    cluster = Cluster(lab.kubeconfig, kubectl, folder / "cache")
    install_crds(cluster)
    cluster.kubectl("create", "namespace", NAMESPACE)
    version = _version(options.vllm)
    _put(cluster, _workload(options.model, version))
    traffic = Process("traffic", folder)
    quick = {"INFERPLAN_RESYNC_SECONDS": "10", "INFERPLAN_METRICS_SECONDS": "5"}
    with (
        operator_process.service_account(cluster, folder, applies=True) as (credentials, _),
        operator_process.running(folder, credentials, lab.prometheus.url, **quick),
    ):
        wait_until(lambda: _available(cluster), START_SECONDS, "vLLM")
        traffic.start(_traffic(lab, kubectl["kubectl"]), env=own_environment())
        _put(cluster, _instance(options.model))
        try:
            plan, phases = _ended(cluster)
        finally:
            traffic.stop()
    return {"command": "benchmarks/auto/run.py", "vllm": version, **_told(cluster, plan), "phases": phases}


def _ended(cluster: Cluster) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The first plan when it has ended, and how long each phase took, with others' share of the cores."""
    began = entered = time.monotonic()
    phases: list[dict[str, Any]] = []
    phase, others = "Planning", Others()
    while True:
        time.sleep(1.0)
        others.look()
        items = json.loads(cluster.kubectl("get", "oplan", "-n", NAMESPACE, "--output=json"))["items"]
        own = [plan for plan in items if _phase(plan) != "Superseded"]
        now = _phase(min(own, key=_created)) if own else "Planning"
        if now == phase and time.monotonic() - began < WAIT_SECONDS:
            continue
        seconds = round(time.monotonic() - entered, 1)
        phases.append({"phase": phase, "seconds": seconds, "others_share_of_cores": round(others.share(), 3)})
        print(f"{phase} -> {now} after {seconds} s", flush=True)
        phase, others, entered = now, Others(), time.monotonic()
        if phase in ENDED:
            return min(own, key=_created), phases
        if time.monotonic() - began >= WAIT_SECONDS:
            raise RuntimeError(cluster.kubectl("describe", "ii,oplan", "-n", NAMESPACE))


def _available(cluster: Cluster) -> bool:
    return cluster.get("deployment", NAME, NAMESPACE)["status"].get("availableReplicas") == 1


def _told(cluster: Cluster, plan: Mapping[str, Any]) -> dict[str, Any]:
    workload = cluster.get("deployment", NAME, NAMESPACE)
    status = plan["status"]
    return {
        "changes": plan["spec"]["summary"]["changes"],
        "gain": plan["spec"]["summary"]["gain"],
        "phase": status["phase"],
        "message": status["message"],
        "baseline": status.get("baseline"),
        "verification": status.get("verification"),
        "args": workload["spec"]["template"]["spec"]["containers"][0]["args"],
    }


def _workload(model: Path, version: str) -> dict[str, Any]:
    labels = {"app": NAME}
    own = f"--served-model-name {NAME} --load-format dummy --dtype bfloat16 --max-model-len 4096 --enforce-eager"
    args = [str(model.absolute()), *own.split(), f"--max-num-seqs={LIMIT}", "--max-num-batched-tokens=2048"]
    container = {
        "name": "vllm",
        "image": f"vllm/vllm-openai:v{version}",
        "command": ["vllm", "serve"],
        "args": args,
        "env": [{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"}
    pod = {"nodeSelector": {"kubernetes.io/hostname": NODE_NAME}, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "strategy": {"type": "Recreate"},  # two engines at once would share two cores
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _instance(model: Path) -> dict[str, Any]:
    verify = {"warmUpSeconds": 30, "windowSeconds": 120, "minRequests": 50}
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": NAME},
        "spec": {
            "engine": "vllm",
            "objective": "throughput",
            "targetRef": {"name": NAME},
            "model": {"config": json.loads((model / "config.json").read_text("utf-8"))},
            "constraints": {"optimizers": ["batching"], "forbid": ["enforce_eager"]},  # to compile takes minutes
            "metrics": {"windowSeconds": 120},
            "apply": {"mode": "Auto", "verify": verify, "takeOverFrom": ["owner"]},
        },
    }


def _put(cluster: Cluster, document: Mapping[str, Any]) -> None:
    owned = ("--server-side", "--field-manager=owner", f"--namespace={NAMESPACE}", "--filename=-")
    cluster.kubectl("apply", *owned, stdin=json.dumps(document))


def _traffic(lab: Lab, kubectl: Path) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "inferplan_lab.demo.traffic", "--kubeconfig", str(lab.kubeconfig)),
        *("--kubectl", str(kubectl), "-n", NAMESPACE, "-l", f"app={NAME}", "--concurrency", str(CLIENTS)),
        *("--input-tokens", str(PROMPT), "--output-tokens", str(ANSWER)),
    )


def _version(venv: Path) -> str:
    """The release that is installed, without its local part."""
    code = "import importlib.metadata as m; print(m.version(m.packages_distributions()['vllm'][0]))"
    done = subprocess.run([venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip().split("+")[0]


def _phase(plan: Mapping[str, Any]) -> str:
    return str((plan.get("status") or {}).get("phase") or "Planning")


def _created(plan: Mapping[str, Any]) -> str:
    return str(plan["metadata"]["creationTimestamp"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, required=True, help="a virtual environment with vLLM for this machine")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/auto.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
