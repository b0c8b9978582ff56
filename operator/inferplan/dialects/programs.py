"""Programs of start commands: which start an engine, which run another command, which start none. Pure."""

import re
from collections.abc import Sequence
from enum import StrEnum

from inferplan.api.values import Engine
from inferplan.dialects.words import Word


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHELLS = _names("sh bash dash ash zsh busybox")
WRAPPERS = _names(
    """
    exec nohup time command builtin setsid sudo env nice ionice chrt timeout stdbuf numactl taskset tini tini-static
    dumb-init catatonit gosu su-exec unbuffer opentelemetry-instrument ddtrace-run nsys uv uvx poetry conda mamba
    micromamba pixi catchsegv nvidia_entrypoint.sh jemalloc.sh prlimit
    """
)
"""Programs that run the command behind their own options, as it is."""
HARMLESS = _names(
    """
    ray multi-node-serving.sh run_cluster.sh echo printf ulimit sleep tail wait true : mkdir ls cat cp mv ln chmod rm
    cd hostname date id env printenv nvidia-smi pip pip3 apt-get apt curl wget huggingface-cli hf git test [ [[ set
    trap exit find grep awk sed sort head tr touch du df nproc tee ldconfig source . export unset shift read kill ps
    which mooncake_master
    """
)
"""Programs of which it is known that they start no engine: Ray's nodes, helpers of vLLM's images, usual tools."""

_HARMLESS_MODULES = _names(
    """
    dynamo.frontend dynamo.router dynamo.planner vllm_router.app sglang_router.launch_router http.server pip
    mooncake.mooncake_store_service
    """
)
"""Python modules of which it is known that they start no engine: the front ends and routers before one."""

_PYTHON = re.compile(r"python[0-9.]*")


class Entry(StrEnum):
    """How an engine is started: its parsers differ in a few flags."""

    SERVE = "serve"  # vllm serve
    API_SERVER = "apiServer"  # python -m vllm.entrypoints.openai.api_server
    LEGACY = "legacyApiServer"  # python -m vllm.entrypoints.api_server, the demo server without the OpenAI API
    IMAGE = "image"  # the image's entrypoint: serve or api_server, which of both is not known
    SGLANG = "sglang"
    TGI = "tgi"
    OTHER_FRONT = "otherFront"  # a front end that passes the engine's flags on and has more of its own


_MODULES = {
    "vllm.entrypoints.openai.api_server": (Engine.VLLM, Entry.API_SERVER),
    "vllm.entrypoints.api_server": (Engine.VLLM, Entry.LEGACY),
    "sglang.launch_server": (Engine.SGLANG, Entry.SGLANG),
    "sglang.srt.server": (Engine.SGLANG, Entry.SGLANG),
    "vllm.entrypoints.grpc_server": (Engine.VLLM, Entry.OTHER_FRONT),
    "dynamo.vllm": (Engine.VLLM, Entry.OTHER_FRONT),
    "dynamo.sglang": (Engine.SGLANG, Entry.OTHER_FRONT),
}
_SERVE_MODULES = frozenset({"vllm.entrypoints.cli.main", "vllm.scripts"})
_SERVING = {
    "vllm": (Engine.VLLM, Entry.SERVE),
    "lmcache_vllm": (Engine.VLLM, Entry.OTHER_FRONT),
    "sglang": (Engine.SGLANG, Entry.SGLANG),
}


def _module(words: Sequence[Word]) -> tuple[tuple[Engine, Entry] | None, Sequence[Word]]:
    """The engine that `python [options] -m MODULE …` or `python …/api_server.py …` starts, and the words behind it."""
    index = 0
    while index < len(words) and words[index].text.startswith("-") and not words[index].text.startswith("-m"):
        index += 2 if words[index].text in {"-W", "-X"} else 1
    if index >= len(words):
        return None, ()
    text = words[index].text
    if text == "-m" and index + 1 < len(words):
        name, rest = words[index + 1].text, words[index + 2 :]
    elif text.startswith("-m"):
        name, rest = text.removeprefix("-m"), words[index + 1 :]
    else:
        name, rest = _as_module(text), words[index + 1 :]
    if name in _SERVE_MODULES and rest and rest[0].text == "serve":
        return (Engine.VLLM, Entry.SERVE), rest[1:]
    return _MODULES.get(name), rest


def _as_module(path: str) -> str:
    """`/opt/vllm/vllm/entrypoints/openai/api_server.py` → `vllm.entrypoints.openai.api_server`."""
    dotted = path.removesuffix(".py").replace("/", ".")
    return next((name for name in _MODULES if path.endswith(".py") and f".{dotted}".endswith(f".{name}")), "")


def shell_operands(words: Sequence[Word]) -> tuple[tuple[Word, ...], bool]:
    """The words behind a shell's options, and whether the first is a script's text (`-c`)."""
    from_string, index = False, 0
    while index < len(words):
        text = words[index].text
        if text == "--" or not text.startswith(("-", "+")) or len(text) == 1:
            index += 1 if text == "--" else 0
            break
        cluster = "" if text.startswith("--") else text[1:]
        from_string = from_string or "c" in cluster
        index += 2 if cluster.endswith(("o", "O")) or text in {"--rcfile", "--init-file"} else 1
    return tuple(words[index:]), from_string


def is_harmless(words: Sequence[Word]) -> bool:
    """Whether it is known of a command that it starts no engine."""
    module = words[2].text if len(words) > 2 and words[1].text == "-m" else ""  # noqa: PLR2004  python -m MODULE
    return program_of(words[0]) in HARMLESS or module in _HARMLESS_MODULES


def command_name(words: Sequence[Word]) -> str:
    """A command's name for people: "python3 -m MODULE", else its program."""
    if _PYTHON.fullmatch(program_of(words[0])) and len(words) > 1:
        return " ".join(word.text for word in words[: 3 if words[1].text == "-m" else 2])
    return words[0].text


def program_of(word: Word) -> str:
    """The program's name without its folder."""
    return word.text.rsplit("/", 1)[-1]


def direct_start(words: Sequence[Word]) -> tuple[tuple[Engine, Entry] | None, Sequence[Word]]:
    """The engine that a command's first words start, and its own words behind them; None where they start none."""
    program, rest = program_of(words[0]), words[1:]
    if program == "text-generation-launcher":
        return (Engine.TGI, Entry.TGI), rest
    if program in _SERVING and rest and rest[0].text == "serve":
        return _SERVING[program], rest[1:]
    return _module(rest) if _PYTHON.fullmatch(program) else (None, ())
