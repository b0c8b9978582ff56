"""From a container's spec to the local process that stands for it."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferplan_lab.node.documents import JsonObject, metadata, pod_label
from inferplan_lab.node.expansion import expand_all
from inferplan_lab.node.hardware import Gpu
from inferplan_lab.node.images import ImageRule, find_rule, image_facts
from inferplan_lab.node.leftovers import MARK_VARIABLE
from inferplan_lab.node.paths import rewrite, rewrite_all

SHIM = Path(__file__).with_name("shim")
LAB_ROOT = Path(__file__).parents[2]
TERMINATION_LOG = "/dev/termination-log"

# What a process gets of this machine's environment; the rest would not be there in a container.
_INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class UnknownImageError(LookupError):
    """No rule knows the image and the container has no command of its own."""


@dataclass(frozen=True)
class Launch:
    """A process to start: words, environment and folder, and the file for its last words."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    termination_log: Path


@dataclass(frozen=True)
class Sandbox:
    """What the containers of one pod have in common.

    Attributes:
        pod: the pod.
        pod_ip: its address.
        host_ip: its node's address.
        gpu: its node's accelerators.
        scratch: its folder.
        api_server: host and port of the API server.
        mark: the mark of the node's processes.
        rules: the images.
    """

    pod: JsonObject
    pod_ip: str
    host_ip: str
    gpu: Gpu
    scratch: Path
    api_server: tuple[str, str]
    mark: str
    rules: Sequence[ImageRule]


def plan_launch(
    container: Mapping[str, Any], variables: Mapping[str, str], mounts: Mapping[str, Path], sandbox: Sandbox
) -> Launch:
    """Return how to start a container.

    Args:
        container: its spec.
        variables: its environment as the spec gives it.
        mounts: the folder of each mount path.
        sandbox: its pod.

    Raises:
        UnknownImageError: nothing says what to run.
    """
    image = container.get("image", "")
    found = find_rule(sandbox.rules, image)
    rule = found.expanded(_facts(container, sandbox)) if found else ImageRule(image)
    argv = _argv(container, rule)
    if not argv:
        raise UnknownImageError(f'image "{image}" is in no rule of the images file and the container has no command')
    folder = sandbox.scratch / "containers" / container["name"]
    last_words = folder / "termination-log"
    places = {container.get("terminationMessagePath", TERMINATION_LOG): last_words, **mounts}
    service = {
        "HOSTNAME": str(metadata(sandbox.pod)["name"]),
        "KUBERNETES_SERVICE_HOST": sandbox.api_server[0],
        "KUBERNETES_SERVICE_PORT": sandbox.api_server[1],
    }
    own = {name: rewrite(value, places) for name, value in variables.items()}
    words = rewrite_all(expand_all(argv, {**service, **variables}), places)
    bin_folder = _write_wrappers(rule, folder)
    env = _environment({**dict(rule.env), **service, **own}, dict(rule.env), bin_folder, sandbox)
    cwd = Path(rewrite(container["workingDir"], mounts)) if container.get("workingDir") else folder
    return Launch(rule.substitute(words), env, cwd if cwd.is_dir() else folder, last_words)


def plan_command(command: Sequence[str], launch: Launch) -> tuple[str, ...]:
    """Return the words of a command that runs beside a container (an exec probe, a preStop hook)."""
    return _located(tuple(command), launch.env)


def locate(launch: Launch) -> tuple[str, ...]:
    """Return the launch's words with the program's full path where this machine has it."""
    return _located(launch.argv, launch.env)


def _located(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
    program = shutil.which(argv[0], path=env["PATH"]) or shutil.which(Path(argv[0]).name, path=env["PATH"])
    return (program or argv[0], *argv[1:])


def _argv(container: Mapping[str, Any], rule: ImageRule) -> tuple[str, ...]:
    """Return command and args by Kubernetes' table: a command replaces the image's entrypoint."""
    args = tuple(container.get("args") or ())
    command = tuple(container.get("command") or ()) or rule.entrypoint
    return (*command, *args) if command else ()


def _facts(container: Mapping[str, Any], sandbox: Sandbox) -> dict[str, str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    return {
        **os.environ,
        **image_facts(container.get("image", "")),
        "POD_IP": sandbox.pod_ip,
        "HOST_IP": sandbox.host_ip,
        "NODE_NAME": str(sandbox.pod["spec"].get("nodeName", "")),
        "GPU_PRODUCT": sandbox.gpu.product,
        "GPU_MEMORY_MIB": str(sandbox.gpu.memory_mib),
        "GPU_COMPUTE": sandbox.gpu.compute,
        "GPU_COUNT": str(limits.get(sandbox.gpu.resource, 0)),
        "PYTHON": sys.executable,
        "LAB_ROOT": str(LAB_ROOT),
    }


def _environment(
    own: Mapping[str, str], image: Mapping[str, str], bin_folder: Path | None, sandbox: Sandbox
) -> dict[str, str]:
    """Return the whole environment: the container's, then what the stand-in needs around it."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = own.get("PATH") or f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    python_path = dict.fromkeys((str(SHIM), image.get("PYTHONPATH", ""), own.get("PYTHONPATH", "")))
    return {
        **inherited,
        **own,
        "PATH": f"{bin_folder}:{path}" if bin_folder else path,
        "PYTHONPATH": ":".join(part for part in python_path if part),
        "INFERPLAN_POD_IP": sandbox.pod_ip,
        "INFERPLAN_POD": pod_label(sandbox.pod),
        MARK_VARIABLE: sandbox.mark,
    }


def _write_wrappers(rule: ImageRule, folder: Path) -> Path | None:
    """Write the image's commands as programs and return their folder, None where there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts = rule.wrappers()
    if not scripts:
        return None
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = bin_folder / name
        path.write_text(script)
        path.chmod(0o755)
    return bin_folder
