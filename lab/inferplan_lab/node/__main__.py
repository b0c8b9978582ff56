"""Run the node stand-in, or print a container's log: `python -m inferplan_lab.node --help`."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from inferplan_lab.node import ApiError, Gpu, ImageFileError, Node, NodeConfig, StateInUseError
from inferplan_lab.node.addresses import AddressesExhaustedError
from inferplan_lab.node.api import CONNECTION_ERRORS
from inferplan_lab.node.hardware import AMD, NVIDIA
from inferplan_lab.node.kubelet_api import NoLogsError, find_log

_EXPECTED_ERRORS = (*CONNECTION_ERRORS, ApiError, ImageFileError, StateInUseError, AddressesExhaustedError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit status: 0, or 1 with one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["logs"]:
        return _print_log(words[1:])
    options = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_serve(_config(options)))
    except _EXPECTED_ERRORS as error:
        print(f"node: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inferplan_lab.node", description=__doc__)
    defaults, gpu = NodeConfig(kubeconfig=Path(), state=Path()), Gpu()
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    parser.add_argument("--state", type=Path, required=True, help="folder of this process alone")
    parser.add_argument("--name", default=defaults.name, help="the node's name (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=1, help="how many; then they are NAME-0, NAME-1, …")
    parser.add_argument("--gpu-product", default=gpu.product, help="the product label (default: %(default)s)")
    parser.add_argument("--gpu-count", type=int, default=gpu.count, help="per node (default: %(default)s)")
    parser.add_argument("--gpu-memory-mib", type=int, default=gpu.memory_mib, help="default: %(default)s")
    parser.add_argument("--gpu-compute", default=gpu.compute, help="compute capability (default: %(default)s)")
    parser.add_argument("--gpu-resource", choices=(NVIDIA, AMD), default=NVIDIA, help="default: %(default)s")
    parser.add_argument("--images", type=Path, help="images file (default: the one of the package)")
    parser.add_argument("--backoff-scale", type=float, default=1.0, help="factor on waits before restarts")
    parser.add_argument("--probe-scale", type=float, default=1.0, help="factor on the periods of probes")
    parser.add_argument("--kubelet-port", type=int, default=defaults.kubelet_port, help="default: %(default)s")
    return parser


def _config(options: argparse.Namespace) -> NodeConfig:
    gpu = Gpu(
        product=options.gpu_product,
        count=options.gpu_count,
        memory_mib=options.gpu_memory_mib,
        compute=options.gpu_compute,
        resource=options.gpu_resource,
    )
    return NodeConfig(
        kubeconfig=options.kubeconfig,
        state=options.state,
        name=options.name,
        nodes=options.nodes,
        gpu=gpu,
        images=options.images,
        backoff_scale=options.backoff_scale,
        probe_scale=options.probe_scale,
        kubelet_port=options.kubelet_port,
    )


async def _serve(config: NodeConfig) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Node(config) as node:
        for name, address in zip(node.names, node.addresses, strict=True):
            print(f"node {name} ready at {address}", flush=True)
        await stopped.wait()


def _print_log(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m inferplan_lab.node logs", description="Print a container's log.")
    parser.add_argument("pod")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-c", "--container", help="needed where the pod has several")
    parser.add_argument("-p", "--previous", action="store_true", help="of the run before the latest")
    parser.add_argument("--state", type=Path, required=True, help="the node's state folder")
    options = parser.parse_args(words)
    try:
        path = find_log(options.state, options.namespace, options.pod, options.container, previous=options.previous)
    except NoLogsError as problem:
        print(f"node: {problem}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(path.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
