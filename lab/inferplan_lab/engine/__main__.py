"""Start the engine simulator: ``python -m inferplan_lab.engine serve MODEL --flag …``.

What comes after ``vllm`` on a real command line goes through unchanged. For
``python3 -m vllm.entrypoints.openai.api_server ARGS`` use ``--as-api-server ARGS``. Environment variables
named ``INFERPLAN_SIM_…`` say what to pretend; :class:`Surroundings` lists them.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferplan_lab.engine.flags import FlagError, StartupError, bundled_release, parse
from inferplan_lab.engine.geometry import BUILT_IN, LLAMA_3_1_8B, Geometry, geometry_of
from inferplan_lab.engine.hardware import gpu_of
from inferplan_lab.engine.limits import Machine
from inferplan_lab.engine.rewriting import config_words
from inferplan_lab.engine.server import serve
from inferplan_lab.engine.serving import Engine
from inferplan_lab.engine.settings import EngineSettings, resolve

PREFIX = "INFERPLAN_SIM_"
API_SERVER = "--as-api-server"
EXIT_REFUSED_FLAG = 2
EXIT_FAILED_START = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment says.

    Attributes:
        machine: INFERPLAN_SIM_VLLM_VERSION, _GPU_PRODUCT, _GPU_MEMORY_MIB, _GPU_COUNT.
        model_config: INFERPLAN_SIM_MODEL_CONFIG, a config.json or its folder, or None.
        speed: INFERPLAN_SIM_SPEED, how much faster than the pretended GPU everything runs.
        load_seconds: INFERPLAN_SIM_LOAD_SECONDS, on the wall clock.
        bind: INFERPLAN_SIM_BIND, ``ADDRESS`` or ``ADDRESS:PORT``, or None for the flags' own.
    """

    machine: Machine
    model_config: Path | None
    speed: float
    load_seconds: float
    bind: str | None


def read_surroundings(env: Mapping[str, str]) -> Surroundings:
    """Read the environment.

    Args:
        env: of the process.

    Returns:
        What it says, with defaults.

    Raises:
        StartupError: a value is not what it should be.
    """
    memory, config = env.get(f"{PREFIX}GPU_MEMORY_MIB"), env.get(f"{PREFIX}MODEL_CONFIG")
    try:
        gpu = gpu_of(env.get(f"{PREFIX}GPU_PRODUCT", "NVIDIA-H100-80GB-HBM3"), int(memory) if memory else None)
        count = int(env.get(f"{PREFIX}GPU_COUNT", "1"))
        speed, load = float(env.get(f"{PREFIX}SPEED", "1")), float(env.get(f"{PREFIX}LOAD_SECONDS", "1"))
    except ValueError as error:
        raise StartupError(f"{PREFIX}…: {error}") from error
    if speed <= 0 or load < 0:
        raise StartupError(f"{PREFIX}SPEED must be above 0 and {PREFIX}LOAD_SECONDS not below, got {speed} and {load}")
    allow_long = env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") == "1"
    machine = Machine(env.get(f"{PREFIX}VLLM_VERSION", "0.33.0"), gpu, count, allow_long)
    return Surroundings(machine, Path(config) if config else None, speed, load, env.get(f"{PREFIX}BIND"))


def log(text: str) -> None:
    """Write log lines to stderr at once, with the time in front as vLLM has it.

    Args:
        text: one line or more.
    """
    stamp = time.strftime("%m-%d %H:%M:%S")
    for line in text.splitlines():
        print(f"INFO {stamp} [sim] {line}", file=sys.stderr, flush=True)


def expand_config(arguments: Sequence[str]) -> list[str]:
    """Put the words that ``--config FILE`` stands for in front of the command line's own.

    Args:
        arguments: of the server; ``--config=FILE`` is ignored, as vLLM does.

    Returns:
        The words.

    Raises:
        StartupError: the file is no readable YAML mapping.
    """
    words = list(arguments)
    if "--config" not in words[:-1]:
        return words
    path = Path(words[words.index("--config") + 1])
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StartupError(f"--config {path}: {error}") from error
    if not isinstance(config, dict):
        raise StartupError(f"--config {path}: not a mapping of flag names to values")
    model = config.pop("model", None)
    named = words[:1] if not words[0].startswith("-") else []
    head = named or ([str(model)] if model else [])
    return [*head, *config_words(config), *words[len(named) :]]


def find_geometry(model: str, config: Path | None, method: str | None) -> Geometry:
    """The shape of the served model.

    Args:
        model: its id or folder.
        config: a config.json or its folder that stands for it, or None.
        method: the flag --quantization.

    Returns:
        From the first of: config, MODEL/config.json, the built-in set, and the geometry of Llama 3.1 8B.

    Raises:
        StartupError: the config is not readable.
    """
    path = config or (Path(model) if (Path(model) / "config.json").is_file() else None)
    if path is not None:
        path = path / "config.json" if path.is_dir() else path
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return geometry_of(content, method)
        except (OSError, ValueError, KeyError) as error:
            raise StartupError(f"{path}: not a model's config.json: {error!r}") from error
    known = BUILT_IN.get(model.lower())
    if known is None:
        log(f"{model}: no config.json given, taken for a model of the shape of Llama 3.1 8B")
    return known or LLAMA_3_1_8B


def prepare(words: Sequence[str], around: Surroundings) -> tuple[EngineSettings, tuple[str, int]]:
    """Parse and resolve.

    Args:
        words: the command line after the program's name.
        around: what the environment says.

    Returns:
        The engine's settings, and the host and port to listen on.

    Raises:
        FlagError: argparse refuses.
        StartupError: the engine would not start.
    """
    api_server = bool(words) and words[0] == API_SERVER
    if not api_server and words[:1] != ["serve"]:
        named = f"'{words[0]}'" if words else "nothing"
        raise FlagError(
            "usage: vllm [-h] [-v] {serve} ...\n"
            f"vllm: error: argument subparser: invalid choice: {named} (the simulator knows serve)",
        )
    version = around.machine.version
    flags = parse(version, expand_config(words[1:]), api_server=api_server)
    log(f"vLLM API server version {version} (simulated; flags of {bundled_release(version)})")
    geometry = find_geometry(flags.model, around.model_config, flags.quantization)
    settings = resolve(flags, around.machine, geometry)
    host, _, port = (around.bind or flags.host or "0.0.0.0").partition(":")
    return settings, (host, int(port or flags.port))


async def run(settings: EngineSettings, around: Surroundings, address: tuple[str, int]) -> None:
    """Load, serve, and stop at SIGTERM or SIGINT.

    Args:
        settings: of the engine.
        around: what the environment says.
        address: host and port.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = Engine(settings, around.speed, log=log)
    log(f"Model loading took {weights_gib(settings):.2f} GiB memory and {around.load_seconds:.6f} seconds")
    for line in engine.start_lines():
        log(line)
    try:
        async with asyncio.timeout(around.load_seconds):
            await stop.wait()
    except TimeoutError:
        await serve(engine, address, stop, log)
    log("Shutting down")


def weights_gib(settings: EngineSettings) -> float:
    """The size of the weights on one GPU.

    Args:
        settings: of the engine.

    Returns:
        GiB.
    """
    gpus = settings.placement.tensor_parallel * settings.placement.pipeline_parallel
    return settings.geometry.weight_bytes() / gpus / 2**30


def main(argv: Sequence[str] | None = None) -> int:
    """Run one simulated server.

    Args:
        argv: as after ``vllm``, or ``--as-api-server`` and the api_server's arguments; None for the process's
            own.

    Returns:
        The exit code: 0 stopped by a signal, 1 the engine did not start, 2 a flag was refused.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        around = read_surroundings(os.environ)
        settings, address = prepare(words, around)
        asyncio.run(run(settings, around, address))
    except FlagError as error:
        print(error, file=sys.stderr, flush=True)
        return EXIT_REFUSED_FLAG
    except (StartupError, OSError) as error:
        log("EngineCore failed to start.")
        print(f"{_error_name(error)}: {error}", file=sys.stderr, flush=True)
        return EXIT_FAILED_START
    return 0


def _error_name(error: Exception) -> str:
    """The class that vLLM's traceback would end with."""
    text = str(error)
    if text.startswith("CUDA out of memory"):
        return "torch.OutOfMemoryError"
    if text[:1].isdigit() and "validation error" in text:
        return "pydantic_core._pydantic_core.ValidationError"
    return "ValueError" if isinstance(error, StartupError) else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
