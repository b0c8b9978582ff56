"""Access to one vLLM release's modules and classes for kv_worker.py, whichever name they have in it."""

import contextlib
import importlib
import importlib.machinery
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import override

sys.path.insert(0, str(Path(__file__).resolve().parent))

import effective_worker

_SCALED = ("int8_per_token_head", "fp8_per_token_head", "int4_per_token_head")


class FlashInfer(effective_worker.Extensions):
    """Stands in for a library of kernels whose classes are named in annotations."""

    @override
    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        stands_in = name.startswith(("flashinfer", "vllm.third_party.flashmla"))
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if stands_in else None

    @override
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Named(spec.name)


class Named(types.ModuleType):
    """A module whose every name is a class."""

    @override
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def module(*names: str) -> Any:  # noqa: ANN401  # an engine's module, whichever name it has in this release
    for name in names[:-1]:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return importlib.import_module(names[-1])


def bare(kind: type, **values: object) -> Any:  # noqa: ANN401  # an engine's object
    """An object of the class, with these attributes and without its constructor."""
    made = object.__new__(kind)
    made.__dict__.update(values)
    return made


def interface() -> Any:  # noqa: ANN401  # an engine's module
    return importlib.import_module("vllm.v1.kv_cache_interface")


def planner() -> Any:  # noqa: ANN401  # an engine's module
    return module("vllm.v1.core.kv_cache_planning", "vllm.v1.core.kv_cache_utils")


def torch_dtype(name: str) -> object:
    torch: Any = importlib.import_module("torch")
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}.get(name, torch.uint8)


@cache
def attention_class(name: str) -> type:
    """A layer class of the release: Attention, MLAAttention or ChunkedLocalAttention."""
    homes = {
        "Attention": ("vllm.model_executor.layers.attention.attention", "vllm.attention.layer"),
        "MLAAttention": ("vllm.model_executor.layers.attention.mla_attention", "vllm.attention.layer"),
        "ChunkedLocalAttention": (
            "vllm.model_executor.layers.attention.chunked_local_attention",
            "vllm.attention.layers.chunked_local_attention",
        ),
    }
    for home in homes[name]:
        with contextlib.suppress(ImportError, AttributeError):
            found: type = getattr(importlib.import_module(home), name)
            return found
    raise LookupError(name)


@cache
def decoder() -> object:
    """What the release calls a decoder's attention."""
    homes = ("vllm.v1.attention.backend", "vllm.attention.backends.abstract", "vllm.attention")
    for home in homes:
        with contextlib.suppress(ImportError, AttributeError):
            return importlib.import_module(home).AttentionType.DECODER
    raise LookupError("AttentionType")


def backend(kv_format: str, *, latent: bool) -> Any:  # noqa: ANN401  # an engine's class
    """The attention backend that an H100 uses for a format; FlashAttention stands for most."""
    if latent:
        return module("vllm.v1.attention.backends.mla.triton_mla").TritonMLABackend
    if kv_format.startswith("turboquant"):
        return module("vllm.v1.attention.backends.turboquant_attn").TurboQuantAttentionBackend
    if kv_format in _SCALED:
        return module("vllm.v1.attention.backends.triton_attn").TritonAttentionBackend
    if kv_format.startswith("nvfp4"):
        return module("vllm.v1.attention.backends.flashinfer").FlashInferBackend
    return module("vllm.v1.attention.backends.flash_attn").FlashAttentionBackend
