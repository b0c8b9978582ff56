"""A vLLM release's own layer objects for kv_worker.py, with the attributes that get_kv_cache_spec reads."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kv_case import Case, Layer
from kv_deepseek_v4 import compressed_objects
from kv_release import attention_class, backend, bare, decoder, module, torch_dtype


def layer_objects(case: Case, config: object, index: int, layer: Layer) -> Iterator[tuple[str, object]]:
    """The release's layer objects by name; none for a layer without attention."""
    name = f"model.layers.{index}"
    if layer["kind"] == "attention" and not layer["shares_kv"]:
        yield f"{name}.self_attn.attn", _attention(case, index, layer)
        if layer.get("index_width"):
            yield f"{name}.self_attn.index_cache", _block_index(config, layer)
    elif layer["kind"] == "latent":
        yield f"{name}.self_attn.attn", _latent(case, layer)
        if layer["index_width"]:
            yield f"{name}.self_attn.indexer.k_cache", _indexer(case, config, layer)
    elif layer["kind"] == "compressed":
        yield from compressed_objects(case, config, f"{name}.attn", layer)
    elif layer["kind"] in {"gdn", "kda", "mamba2"}:
        yield f"{name}.mixer", _state(case, layer)


def _attention(case: Case, index: int, layer: Layer) -> object:
    given = case.settings
    kv_format = "auto" if str(index) in given["skipped"] else given["kv_format"]
    own = given["model_format"] if kv_format in {"auto", given["model_format"]} else kv_format
    chunked = layer["chunk"] is not None and case.release >= (0, 10, 1)
    return bare(
        attention_class("ChunkedLocalAttention" if chunked else "Attention"),
        attn_type=decoder(),
        kv_cache_dtype="auto" if own == given["model_format"] else kv_format,
        kv_cache_torch_dtype=torch_dtype(own),
        num_kv_heads=max(1, layer["kv_heads"] // given["tensor_parallel"]),
        head_size=layer["head_dim"],
        head_size_v=layer["v_head_dim"],
        sliding_window=layer["window"],
        attention_chunk_size=layer["chunk"],
        use_irope=layer["chunk"] is not None,
        kv_sharing_target_layer_name=None,
        attn_backend=backend(own, latent=False),
        is_draft_layer=False,
        impl=None,
    )


def _latent(case: Case, layer: Layer) -> object:
    given = case.settings
    own_class = case.release >= (0, 11, 1)
    return bare(
        attention_class("MLAAttention" if own_class else "Attention"),
        attn_type=decoder(),
        num_kv_heads=1,
        head_size=layer["rank"] + layer["rope"],
        sliding_window=None,
        kv_cache_dtype="auto" if given["kv_format"] == given["model_format"] else given["kv_format"],
        kv_sharing_target_layer_name=None,
        topk_buffer_width=None,
        indexer=None,
        non_causal_multi_token_decode=False,
        attn_backend=backend(given["kv_format"], latent=True),
        is_draft_layer=False,
    )


def _indexer(_case: Case, config: Any, layer: Layer) -> object:  # noqa: ANN401  # stands for VllmConfig
    kind = module("vllm.model_executor.models.deepseek_v2").DeepseekV32IndexerCache
    size = layer["index_width"] + layer["index_width"] // 128 * 4
    return bare(
        kind,
        head_dim=size,
        dtype=torch_dtype("uint8"),
        cache_config=config.cache_config,
        prefix="",
        is_draft_layer=False,
        get_attn_backend=lambda: backend("auto", latent=True),
    )


def _block_index(config: Any, layer: Layer) -> object:  # noqa: ANN401  # stands for VllmConfig
    """MiniMax M3's index keys, by DeepSeek's class: M3's own gives the same spec, but its module needs a GPU."""
    return bare(
        module("vllm.model_executor.models.deepseek_v2").DeepseekV32IndexerCache,
        head_dim=layer["index_width"],
        dtype=torch_dtype("bfloat16"),
        cache_config=config.cache_config,
        prefix="",
        is_draft_layer=False,
        get_attn_backend=lambda: backend("auto", latent=True),
    )


def state_shapes(case: Case, layer: Layer) -> Any:  # noqa: ANN401  # an engine's shapes
    """Shapes of a state, from the release's own calculator."""
    shapes = importlib.import_module("vllm.model_executor.layers.mamba.mamba_utils").MambaStateShapeCalculator
    ranks, speculated = case.settings["tensor_parallel"], case.settings["speculative_tokens"]
    if layer["kind"] == "mamba2":
        width = layer["heads"] * layer["head_dim"]
        values = (ranks, width, layer["groups"], layer["heads"], layer["head_dim"], layer["state"], layer["kernel"])
        return _shapes(shapes.mamba2_state_shape, values, speculated)
    if layer["kind"] == "kda":
        heads = (layer["key_heads"], layer["key_dim"])
        return _shapes(shapes.kda_state_shape, (ranks, layer["value_heads"], layer["value_dim"], *heads), speculated)
    values = (ranks, layer["key_heads"], layer["value_heads"], layer["key_dim"], layer["value_dim"], layer["kernel"])
    return _shapes(shapes.gated_delta_net_state_shape, values, speculated)


def _shapes(call: Callable[..., Any], values: tuple[int, ...], speculated: int) -> Any:  # noqa: ANN401  # an engine's
    names = call.__code__.co_varnames[: call.__code__.co_argcount + call.__code__.co_kwonlyargcount]
    return call(*values, **({"num_spec": speculated} if "num_spec" in names else {}))


def state_dtypes(case: Case, layer: Layer) -> Any:  # noqa: ANN401  # an engine's types
    """Number formats of a state, from the release's own calculator."""
    types = importlib.import_module("vllm.model_executor.layers.mamba.mamba_utils").MambaStateDtypeCalculator
    name = {"gdn": "gated_delta_net", "kda": "kda", "mamba2": "mamba2"}[layer["kind"]]
    call = getattr(types, f"{name}_state_dtype")
    asked = {32: "float32", None: "auto"}[case.settings["state_bits"]]
    values = [torch_dtype(case.settings["model_format"]), "auto", asked]
    return call(*values[: call.__func__.__code__.co_argcount - 1])


def _state(case: Case, layer: Layer) -> object:
    base: type = importlib.import_module("vllm.model_executor.layers.mamba.abstract").MambaBase
    if layer["kind"] == "mamba2" and case.release >= (0, 32):
        base = importlib.import_module("vllm.model_executor.layers.mamba.mamba_mixer2").MambaMixer2
    ssm = SimpleNamespace(is_ssm=lambda: True, get_preferred_block_size=lambda size: size)
    body = {
        "get_state_shape": lambda _self: state_shapes(case, layer),
        "get_state_dtype": lambda _self: state_dtypes(case, layer),
        "mamba_type": _mamba_type(layer["kind"]),
        "get_attn_backend": lambda _self: ssm,
        "is_kv_cache_tp_replicated": False,
        "is_draft_layer": False,
    }
    kind = type("State", (base,), body)
    kind.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # only the spec is asked for
    return bare(kind)


def _mamba_type(kind: str) -> object:
    with contextlib.suppress(ImportError, AttributeError):
        kinds = importlib.import_module("vllm.v1.attention.backends.registry").MambaAttentionBackendEnum
        return kinds.MAMBA2 if kind == "mamba2" else kinds.GDN_ATTN
    return kind
