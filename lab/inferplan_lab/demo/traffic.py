"""Load on the ready pods of a label selector, following them through restarts; ends by itself.

python -m inferplan_lab.demo.traffic --kubeconfig FILE --kubectl PROGRAM -n NS -l app=x --concurrency 64
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

POLL_SECONDS = 3.0
MOST_SECONDS = 3600.0


def ready_addresses(pods: dict[str, object]) -> tuple[str, ...]:
    """Addresses of the ready pods of a PodList, sorted."""
    found = []
    for pod in pods.get("items", ()):  # type: ignore[attr-defined]  # JSON
        status = pod.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
        if ready and "deletionTimestamp" not in pod["metadata"]:
            found.append(status["podIP"])
    return tuple(sorted(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Keeps one load generator running against the pods that are ready now."""
    options = _parser().parse_args(arguments)
    deadline = time.monotonic() + min(options.duration, MOST_SECONDS)
    current: tuple[str, ...] = ()
    load: subprocess.Popen[bytes] | None = None
    try:
        while time.monotonic() < deadline:
            addresses = _ready(options)
            if addresses != current:
                _stop(load)
                load = _start(options, addresses, deadline) if addresses else None
                current = addresses
            time.sleep(POLL_SECONDS)
    finally:
        _stop(load)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inferplan_lab.demo.traffic", description=main.__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--kubectl", required=True)
    parser.add_argument("-n", "--namespace", required=True)
    parser.add_argument("-l", "--selector", required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--input-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=256)
    parser.add_argument("--duration", type=float, default=MOST_SECONDS, help="seconds, at most 3600")
    return parser


def _ready(options: argparse.Namespace) -> tuple[str, ...]:
    argv = (options.kubectl, f"--kubeconfig={options.kubeconfig}", "get", "pods", "-o", "json")
    done = subprocess.run(
        (*argv, "-n", options.namespace, "-l", options.selector), capture_output=True, text=True, check=False
    )
    return ready_addresses(json.loads(done.stdout)) if done.returncode == 0 else ()


def _start(options: argparse.Namespace, addresses: tuple[str, ...], deadline: float) -> subprocess.Popen[bytes]:
    urls = ",".join(f"http://{address}:{options.port}" for address in addresses)
    left = max(1.0, deadline - time.monotonic())
    argv = (
        *(sys.executable, "-m", "inferplan_lab.load", urls, "--concurrency", str(options.concurrency)),
        *("--input-tokens", str(options.input_tokens), "--output-tokens", str(options.output_tokens)),
        *("--duration", f"{left:.0f}"),
    )
    return subprocess.Popen(argv)


def _stop(load: subprocess.Popen[bytes] | None) -> None:
    if load is not None:
        load.terminate()
        load.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
