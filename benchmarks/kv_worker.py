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
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import engine_parsers

import effective_worker
from kv_case import Case
from kv_layers import layer_objects, state_dtypes, state_shapes
from kv_release import FlashInfer, bare, planner, torch_dtype

GPU = {"name": "NVIDIA H100 80GB HBM3", "capability": (9, 0), "bytes": 85_520_809_984, "count": 8}
_LONGEST = re.compile(r"estimated maximum model length is (\d+)")


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
