"""The real argument parsers of vLLM and SGLang, taken from the unzipped wheel of a release.

Runs inside a Python that has the engines' dependencies (PyTorch, transformers, pydantic; see dump_vllm_args.py), not in
the project's own environment. The wheel's Python files are enough: nothing here calls a kernel.
"""

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

VLLM_PARSER = ("vllm.utils.argparse_utils", "vllm.utils")
"""Where FlexibleArgumentParser is: since 0.11.1, and before."""

VLLM_ARGUMENTS = (
    "vllm.entrypoints.common.cli_args",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.openai.cli_args",
)
"""Where make_arg_parser is, newest place first; the last one up to 0.31."""


def put_first(tree: Path) -> None:
    """Let this release's packages be imported before installed ones, here and in processes that the engine starts."""
    path = str(tree.resolve())
    sys.path.insert(0, path)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("VLLM_TARGET_DEVICE", "cpu")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.filterwarnings("ignore")
    _tolerate_other_versions()


def _tolerate_other_versions() -> None:
    """Old releases meet newer dependencies than theirs: three things they import have changed since."""
    # transformers refuses a model type that it knows itself by now
    config = importlib.import_module("transformers").AutoConfig
    register = config.register

    def register_again(model_type: str, model_config: object, *, exist_ok: bool = False) -> None:
        del exist_ok
        register(model_type, model_config, exist_ok=True)

    config.register = staticmethod(register_again)
    # vLLM 0.17.1 asks PyTorch for it before it loads compiled modules, which are not there anyway
    vars(importlib.import_module("torch._C._cpu")).setdefault("_is_avx512_supported", bool)
    with contextlib.suppress(ImportError):  # SGLang up to 0.4.6 imports functions that triton has dropped
        cache = importlib.import_module("triton.runtime.cache")
        for name in ("default_cache_dir", "default_dump_dir", "default_override_dir"):
            vars(cache).setdefault(name, str)


def first(name: str, *modules: str) -> Any:  # noqa: ANN401  # another project's object
    """The attribute of the first of these modules that exists and has it.

    Raises:
        ImportError: none has it.
    """
    errors: list[str] = []
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            errors.append(str(error))
    raise ImportError("; ".join(errors))


def vllm_version() -> str:
    """The release's own version, without the build's local part: "0.32.0" for 0.32.0+cpu."""
    return str(importlib.import_module("vllm").__version__).partition("+")[0]


def vllm_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """`parser` with the arguments of vLLM's server."""
    make: Callable[[argparse.ArgumentParser], argparse.ArgumentParser] = first("make_arg_parser", *VLLM_ARGUMENTS)
    return make(parser)


def vllm_parser_class() -> type[argparse.ArgumentParser]:
    """The kind of ArgumentParser that vLLM uses: underscores, dotted JSON keys, --config."""
    found: type[argparse.ArgumentParser] = first("FlexibleArgumentParser", *VLLM_PARSER)
    return found


def sglang_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """`parser` with the arguments of SGLang's server."""
    first("ServerArgs", "sglang.srt.server_args").add_cli_args(parser)
    return parser


def type_name(action: argparse.Action) -> str | None:
    """What converts the value: "int", "loads", "optional_type"; None keeps the text."""
    kind = action.type
    return None if kind is None else getattr(kind, "__name__", None) or str(kind)


def choices(values: Iterable[object] | None) -> list[str | None] | None:
    """Choices as text; a set, whose order changes from run to run, is sorted."""
    found = [None if value is None else str(value) for value in values or ()]
    return (sorted(found, key=str) if isinstance(values, set | frozenset) else found) or None
