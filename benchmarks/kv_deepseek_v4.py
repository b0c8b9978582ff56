"""A vLLM release's own caches of DeepSeek V4's attention for kv_worker.py.

The window's, the indexer's and the compressor's caches come out of the release's constructors; the attention, whose
constructor makes weights, is an object with the attributes that get_kv_cache_spec reads. Formats are FlashMLA's.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kv_case import Case, Layer
from kv_release import bare, module, torch_dtype

_FORMAT = "fp8_ds_mla"
_ATTENTION = (
    ("vllm.models.deepseek_v4.nvidia.flashmla", "DeepseekV4FlashMLAAttention"),
    ("vllm.models.deepseek_v4.attention", "DeepseekV4MLAAttention"),
    ("vllm.model_executor.layers.deepseek_v4_attention", "DeepseekV4MLAAttention"),
)
_CACHES = ("vllm.models.deepseek_v4.attention", "vllm.model_executor.layers.deepseek_v4_attention")
_COMPRESSOR = ("vllm.models.deepseek_v4.compressor", "vllm.model_executor.layers.deepseek_compressor")
_WINDOWS = ("vllm.v1.attention.backends.mla.sparse_swa",)


def compressed_objects(
    case: Case,
    config: Any,  # noqa: ANN401  # stands for VllmConfig
    name: str,
    layer: Layer,
) -> Iterator[tuple[str, object]]:
    """The caches of one layer by name, in the order in which the release's attention makes them."""
    cache_config, ratio, width = config.cache_config, layer["ratio"], layer["width"]
    if layer["index_width"]:
        keys = {"head_dim": _index_width(case, layer), "dtype": torch_dtype("uint8"), "compress_ratio": ratio}
        prefix = f"{name}.indexer.k_cache"
        yield prefix, _made(_CACHES, "DeepseekV4IndexerCache", prefix=prefix, cache_config=cache_config, **keys)
        yield _state(f"{name}.indexer.compressor.state_cache", ratio, layer["index_width"])
    prefix = f"{name}.swa_cache"
    sizes = {"head_dim": width, "window_size": layer["window"], "dtype": torch_dtype("uint8")}
    yield prefix, _made(_WINDOWS, "DeepseekV4SWACache", prefix=prefix, cache_config=cache_config, **sizes)
    if ratio > 1:
        yield name, _attention(ratio, width)
        yield _state(f"{name}.compressor.state_cache", ratio, width)


def _index_width(case: Case, layer: Layer) -> int:
    """Bytes of an index key as DeepseekV4Indexer.__init__ computes them (MXFP4 is narrower from 0.27 on)."""
    width: int = layer["index_width"]
    if case.settings["narrow_index"] and case.release >= (0, 27):
        return width // 2 + width // 32
    return width + width // 128 * 4


def _state(name: str, ratio: int, width: int) -> tuple[str, object]:
    overlap = 2 if ratio == 4 else 1  # noqa: PLR2004  DeepseekCompressor's coff
    dims = {"state_dim": 2 * overlap * width, "dtype": torch_dtype("float32"), "compress_ratio": ratio}
    return name, _made(_COMPRESSOR, "CompressorStateCache", prefix=name, **dims)


def _attention(ratio: int, width: int) -> object:
    for home, name in _ATTENTION:
        with contextlib.suppress(ImportError, AttributeError):
            kind = getattr(importlib.import_module(home), name)
            break
    else:
        raise LookupError("DeepSeek V4's attention")
    whole = type("Attention", (kind,), {})
    whole.__abstractmethods__ = frozenset()
    dtype = torch_dtype("uint8")
    return bare(
        whole,
        compress_ratio=ratio,
        head_dim=width,
        kv_cache_dtype=_FORMAT,
        kv_cache_torch_dtype=dtype,
        is_draft_layer=False,
    )


def _made(homes: tuple[str, ...], name: str, **given: object) -> object:
    """An object out of the release's own constructor, which registers itself with a configuration of its own."""
    place = module(*homes)
    registry = SimpleNamespace(compilation_config=SimpleNamespace(static_forward_context={}))
    before = place.get_current_vllm_config
    place.get_current_vllm_config = lambda: registry
    try:
        made: object = getattr(place, name)(**given)
    finally:
        place.get_current_vllm_config = before
    return made
