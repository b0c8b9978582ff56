"""What one vLLM release's own planner of the KV cache makes of models and memory; kv_planner.py starts it.

    ENGINE_VENV/bin/python benchmarks/kv_worker.py TREE < CASES > ANSWERS

CASES are JSON objects, one a line: layers (per layer its kind and shapes, see kv_planner.py), settings, and asked, a
list of [available bytes, max_model_len, max_num_batched_tokens]. ANSWERS are JSON objects in the same order: for each
of asked the release's blocks, tokens, concurrency and block size, or what its start-up check says; or {"error"}.

The release's layer classes make their own specs (get_kv_cache_spec), on objects that have the attributes which those
methods read and nothing else; its platform code raises the block size of hybrid models; its planner does the rest.
Before 0.8 it is V0's CacheEngine. The GPU is faked as an H100 (effective_worker.py).
"""

import contextlib
import importlib
import importlib.machinery
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typing_extensions import override

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import engine_parsers

import effective_worker

GPU = {"name": "NVIDIA H100 80GB HBM3", "capability": (9, 0), "bytes": 85_520_809_984, "count": 8}
_LONGEST = re.compile(r"estimated maximum model length is (\d+)")
_SCALED = ("int8_per_token_head", "fp8_per_token_head", "int4_per_token_head")
_DTYPES = {"bfloat16": 2, "float32": 4}

Layer = Mapping[str, Any]


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


class Case:
    """One model under one set of settings."""

    def __init__(self, case: Mapping[str, Any], release: tuple[int, ...]) -> None:
        self.layers: list[Layer] = case["layers"]
        self.settings: dict[str, Any] = case["settings"]
        self.release = release
        self.hybrid = self.has_states and any(layer["kind"] in {"attention", "latent"} for layer in self.layers)

    @property
    def has_states(self) -> bool:
        """Whether a layer keeps a recurrent state."""
        return any(layer["kind"] in {"gdn", "kda", "mamba2"} for layer in self.layers)

    def config(self, length: int, batched: int) -> Any:  # noqa: ANN401  # stands for the engine's VllmConfig
        """What the planner reads of VllmConfig."""
        given = self.settings
        speculated = given["speculative_tokens"]
        cache_config = SimpleNamespace(
            block_size=given["block_size"] or 16,
            user_specified_block_size=given["block_size"] is not None,
            cache_dtype="auto" if given["kv_format"] == given["model_format"] else given["kv_format"],
            mamba_cache_mode=given["state_mode"],
            mamba_block_size=None,
            user_specified_mamba_block_size=False,
            mamba_page_size_padded=None,
            mamba_cache_dtype="auto",
            mamba_ssm_cache_dtype="auto",
            enable_prefix_caching=given["state_mode"] != "none",
            num_gpu_blocks_override=given["blocks_override"],
            kv_cache_dtype_skip_layers=given["skipped"],
            skip_page_size_padded=None,
            calculate_kv_scales=False,
            prefix_cache_retention_interval=None,
            prefix_match_unit=None,
            hash_block_size=None,
            kv_cache_layout="LBNHC",
            use_replayssm=False,
            use_kda_recoverssm=False,
            sliding_window=None,
        )
        with contextlib.suppress(ImportError):
            layout = importlib.import_module("vllm.v1.kv_cache_layout").KVCacheLayout.LBNHC
            cache_config.get_resolved_kv_cache_layout = lambda: layout
        with contextlib.suppress(ImportError, AttributeError):
            own = interface().KVCacheLayout.LBNHC
            cache_config.get_resolved_kv_cache_layout = lambda: own
        return SimpleNamespace(
            cache_config=cache_config,
            model_config=self._model(length),
            parallel_config=SimpleNamespace(
                tensor_parallel_size=given["tensor_parallel"],
                pipeline_parallel_size=given["pipeline_parallel"],
                decode_context_parallel_size=given["context_parallel"],
                prefill_context_parallel_size=1,
            ),
            scheduler_config=SimpleNamespace(
                max_num_batched_tokens=batched,
                disable_hybrid_kv_cache_manager=not given["hybrid_manager"],
                enable_chunked_prefill=True,
            ),
            compilation_config=SimpleNamespace(static_forward_context={}, cudagraph_mode=None),
            attention_config=SimpleNamespace(hisparse_config=None, backend=None, use_trtllm_attention=False),
            speculative_config=_speculation(speculated),
            kv_transfer_config=None,
            device_config=SimpleNamespace(device_type="cuda"),
            additional_config={},
            max_in_flight_tokens=given["concurrent_batches"] * batched,
            num_speculative_tokens=speculated,
            num_prefill_lookahead_tokens=0,
        )

    def _model(self, length: int) -> Any:  # noqa: ANN401  # stands for the engine's ModelConfig
        attending = next((layer for layer in self.layers if layer["kind"] in {"attention", "latent"}), None)
        latent = attending is not None and attending["kind"] == "latent"
        heads = attending["kv_heads"] if attending is not None and not latent else 1
        ranks = self.settings["tensor_parallel"]
        size = (attending["rank"] + attending["rope"] if latent else attending["head_dim"]) if attending else 0
        count = sum(layer["kind"] in {"attention", "latent"} for layer in self.layers)
        return SimpleNamespace(
            max_model_len=length,
            original_max_model_len=length,
            dtype=torch_dtype(self.settings["model_format"]),
            use_mla=latent,
            is_hybrid=self.hybrid,
            architecture="X",
            architectures=["X"],
            hf_config=SimpleNamespace(model_type="qwen3_next"),
            hf_text_config=SimpleNamespace(num_hidden_layers=len(self.layers)),
            supports_mamba_prefix_caching=self.settings["state_mode"] == "all",
            supports_kv_cache_grouping=False,
            disable_cascade_attn=False,
            enforce_eager=True,
            is_attention_free=False,
            attention_chunk_size=next((layer["chunk"] for layer in self.layers if layer.get("chunk")), None),
            get_num_kv_heads=lambda _: 1 if latent else max(1, heads // ranks),
            get_head_size=lambda: size,
            get_num_attention_heads=lambda _: max(1, 64 // ranks),
            get_mamba_chunk_size=lambda: self.settings["chunk"],
            get_num_layers_by_block_type=lambda *_: count,
        )


def _speculation(tokens: int) -> object:
    if not tokens:
        return None
    return SimpleNamespace(
        num_speculative_tokens=tokens,
        use_eagle=lambda: False,
        use_eagle_block_drop=lambda: False,
        use_multi_module_mtp=lambda: False,
        method="mtp",
    )


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


def specs_by_stage(case: Case, config: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # stands for VllmConfig
    """What the release's model runner collects on each stage, after its platform raised the block size."""
    everything = list(_named(case, config, range(len(case.layers))))
    config.compilation_config.static_forward_context.update(everything)
    raise_block_size(case, config)
    found = []
    for stage in case.settings["stages"]:
        context = dict(_named(case, config, stage))
        config.compilation_config.static_forward_context = context
        found.append(_collected(case, config))
    return found


def _named(case: Case, config: object, indices: Iterable[int]) -> Iterator[tuple[str, object]]:
    for index in indices:
        yield from layer_objects(case, config, index, case.layers[index])


def _collected(case: Case, config: Any) -> dict[str, Any]:  # noqa: ANN401  # stands for VllmConfig
    runner: Any = importlib.import_module("vllm.v1.worker.gpu_model_runner").GPUModelRunner
    cached = case.settings["kv_format"]
    dtype = torch_dtype(case.settings["model_format"] if cached == case.settings["model_format"] else cached)
    made = bare(
        runner,
        vllm_config=config,
        model_config=config.model_config,
        cache_config=config.cache_config,
        kv_cache_dtype=dtype,
        speculative_config=config.speculative_config,
        shared_kv_cache_layers={},
        attention_chunk_size=config.model_config.attention_chunk_size,
    )
    got: dict[str, Any] = made.get_kv_cache_spec()
    return got


def raise_block_size(case: Case, config: Any) -> None:  # noqa: ANN401  # stands for VllmConfig
    """Let the release choose the block size: the model's config class to 0.19, the platform from 0.18 on."""
    if case.release >= (0, 18) and not (case.hybrid and case.release < (0, 20)):
        with _current(config):
            importlib.import_module("vllm.platforms.interface").Platform.update_block_size_for_backend(config)
    if case.hybrid and (0, 10) <= case.release < (0, 20):
        configs = importlib.import_module("vllm.model_executor.models.config")
        with _model_class(case, configs):
            configs.HybridAttentionMambaModelConfig.verify_and_update_config(config)
    if config.cache_config.mamba_block_size is None:
        config.cache_config.mamba_block_size = config.model_config.max_model_len


@contextlib.contextmanager
def _current(config: object) -> Iterator[None]:
    """Answer the platform's questions about the model's class and the current configuration."""
    models: Any = importlib.import_module("vllm.model_executor.models")
    home = "vllm.config.vllm"
    with (
        _model_class(CURRENT[0], models),
        _patched(home, "set_current_vllm_config", _nothing),
        _patched(home, "_current_vllm_config", config),
    ):
        yield


@contextlib.contextmanager
def _nothing(*_: object, **__: object) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _patched(home: str, name: str, value: object) -> Iterator[None]:
    place: Any = importlib.import_module(home)
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def _model_class(case: Case, place: Any) -> Iterator[None]:  # noqa: ANN401  # an engine's module
    layer = next((found for found in case.layers if found["kind"] in {"gdn", "kda", "mamba2"}), None)
    kind = SimpleNamespace(
        get_mamba_state_shape_from_config=lambda _: state_shapes(case, layer or {}),
        get_mamba_state_dtype_from_config=lambda _: state_dtypes(case, layer or {}),
    )
    registry = SimpleNamespace(resolve_model_cls=lambda *_, **__: (kind, "X"))
    before = place.ModelRegistry
    place.ModelRegistry = registry
    try:
        yield
    finally:
        place.ModelRegistry = before


CURRENT: list[Case] = []
"""The case at work."""


def answer(case: Case, available: int, length: int, batched: int) -> dict[str, Any]:
    """What the release says."""
    config = case.config(length, batched)
    if case.release < (0, 8):
        return v0(case, config, available)
    specs = specs_by_stage(case, config)
    printed: list[tuple[Any, ...]] = []
    try:
        with _listening(printed):
            configs = planned(config, specs, available)
    except ValueError as error:
        found = _LONGEST.search(str(error))
        return {"refused": str(error)[:200], "longest": int(found[1]) if found else 0}
    smallest = min(configs, key=lambda one: one.num_blocks)
    tokens, concurrency = told(config, smallest, printed)
    return {
        "num_blocks": smallest.num_blocks,
        "tokens": tokens,
        "max_concurrency": concurrency,
        "block_size": config.cache_config.block_size,
    }


def planned(config: object, specs: list[dict[str, Any]], available: int) -> list[Any]:
    """The release's plan for each stage."""
    plans = planner()
    memory = [available] * len(specs)
    if hasattr(plans, "get_global_kv_cache_groups"):
        groups = plans.get_global_kv_cache_groups(config, specs)
        return list(plans.get_kv_cache_configs(config, specs, memory, groups))
    if hasattr(plans, "get_kv_cache_configs"):
        return list(plans.get_kv_cache_configs(config, specs, memory))
    found = [plans.get_kv_cache_config(config, spec, available) for spec in specs]
    plans.unify_kv_cache_configs(found)
    return list(found)


def told(config: object, plan: object, printed: list[tuple[Any, ...]]) -> tuple[int, float]:
    """Tokens and concurrency, as the release prints them, of its rank with the fewest."""
    utils: Any = importlib.import_module("vllm.v1.core.kv_cache_utils")
    if hasattr(utils, "get_kv_cache_capacity"):
        tokens, concurrency = utils.get_kv_cache_capacity(config, plan)
        return int(tokens), float(concurrency)
    sizes = [int(args[1].replace(",", "")) for args in printed if args[0].startswith("GPU KV cache size")]
    shares = [float(args[-1]) for args in printed if "Maximum concurrency" in args[0]]
    return min(sizes), min(shares)


@contextlib.contextmanager
def _listening(printed: list[tuple[Any, ...]]) -> Iterator[None]:
    """Keep what the planner logs."""
    utils: Any = importlib.import_module("vllm.v1.core.kv_cache_utils")
    before = utils.logger

    def keep(*args: object, **_: object) -> None:
        printed.append(args)

    utils.logger = SimpleNamespace(info=keep, info_once=keep, warning=keep, warning_once=keep, debug=keep)
    try:
        yield
    finally:
        utils.logger = before


def v0(case: Case, config: Any, available: int) -> dict[str, Any]:  # noqa: ANN401  # stands for VllmConfig
    """V0's arithmetic: CacheEngine.get_cache_block_size, as Worker.determine_num_available_blocks divides by it."""
    engine: Any = importlib.import_module("vllm.worker.cache_engine").CacheEngine
    ranks = case.settings["pipeline_parallel"]
    sizes = []
    for stage in case.settings["stages"]:
        own = sum(case.layers[index]["kind"] in {"attention", "latent"} for index in stage)
        config.model_config.get_num_layers_by_block_type = lambda *_, own=own: own
        sizes.append(engine.get_cache_block_size(config.cache_config, config.model_config, config.parallel_config))
    override = case.settings["blocks_override"]
    blocks = override or max(0, int(available // max(sizes)))
    length, block = config.model_config.max_model_len, config.cache_config.block_size
    if blocks * block < length:  # vllm/worker/worker.py, raise_if_cache_size_invalid
        return {"refused": "max seq len is larger than the cache", "longest": blocks * block, "ranks": ranks}
    concurrency = blocks * block / length
    return {"num_blocks": blocks, "tokens": blocks * block, "max_concurrency": concurrency, "block_size": block}


def answers(line: str, release: tuple[int, ...]) -> dict[str, Any]:
    given = json.loads(line)
    case = Case(given, release)
    CURRENT[:] = [case]
    try:
        return {"answers": [answer(case, *asked) for asked in given["asked"]]}
    except Exception as error:  # noqa: BLE001  # whatever stops the engine is its answer
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def without_triton() -> None:
    """Let lists of Triton's configurations be read where Triton is not there (0.32.0 looks into its own)."""
    with contextlib.suppress(ImportError, AttributeError):
        triton: Any = importlib.import_module("vllm.triton_utils").triton
        triton.Config = lambda kwargs, **given: SimpleNamespace(kwargs=kwargs, **given)


def main() -> None:
    """Answer all cases."""
    tree = Path(sys.argv[1])
    release = tuple(int(part) for part in tree.name.split(".")[:3])
    out = sys.stdout
    sys.meta_path.append(FlashInfer())
    effective_worker.GPU.update(GPU)
    with contextlib.redirect_stdout(sys.stderr):
        engine_parsers.put_first(tree)
        effective_worker.fake_cuda()
        if release >= (0, 32):
            without_triton()
        for line in sys.stdin:
            out.write(json.dumps(answers(line, release)) + "\n")
            out.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
