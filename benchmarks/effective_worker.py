"""What one vLLM release makes of arguments on a GPU that is not there; effective_defaults.py starts it.

    ENGINE_VENV/bin/python benchmarks/effective_worker.py TREE MODEL < RUNS > ANSWERS

RUNS are JSON objects, one a line: gpu (name, capability, bytes, count) and lists, argument lists of
`vllm serve`. ANSWERS are JSON lists in the same order: for each argument list the resolved settings, or {"error"}.

The release's own AsyncEngineArgs.create_engine_config runs, for its API server. What it asks the GPU is answered from
the table above instead of by NVML, and what it asks the model's class (does it generate text, has it a state?) as for
a plain decoder, so that no CUDA library is loaded. MODEL is a folder with such a model's config.json and tokenizer.
"""

import contextlib
import dataclasses
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import engine_parsers

import engine_worker

EXTENSIONS = ("vllm._C", "vllm._moe_C", "vllm._qutlass_C", "vllm._flashmla", "vllm.vllm_flash_attn", "pynvml")
"""How the names of compiled modules begin that are imported where the platform is CUDA."""

RESOLVED = {
    "model_config": "max_model_len quantization dtype enforce_eager",
    "cache_config": "cache_dtype block_size gpu_memory_utilization enable_prefix_caching",
    "scheduler_config": "max_num_batched_tokens max_num_seqs enable_chunked_prefill chunked_prefill_enabled"
    " async_scheduling policy",
    "parallel_config": "tensor_parallel_size pipeline_parallel_size data_parallel_size enable_expert_parallel",
}
"""What is read from the resolved configuration; a release without one of them has another name for it, or none."""

PLAIN_DECODER: dict[str, object] = {
    "architecture": "LlamaForCausalLM",
    "is_text_generation_model": True,
    "supports_pp": True,
    "supports_lora": True,
    "attn_type": "decoder",
    "default_pooling_type": "LAST",
    "default_seq_pooling_type": "LAST",
    "default_tok_pooling_type": "ALL",
    "score_type": "bi-encoder",
    "supported_video_pruning_methods": (),
}
"""What vllm/model_executor/models/registry.py finds out about LlamaForCausalLM; whatever else it asks is not so."""


class Extensions(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for compiled modules that are not there."""

    @override
    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.startswith(EXTENSIONS) else None

    @override
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Extension(spec.name)

    @override
    def exec_module(self, module: types.ModuleType) -> None:
        del module


class Extension(types.ModuleType):
    """A module that has whatever is asked for."""

    @override
    def __getattr__(self, name: str) -> object:
        if name == "__file__":
            return f"{self.__name__}.py"
        if name.startswith("__"):
            raise AttributeError(name)
        return _no_nvml if name == "nvmlInit" else lambda *_, **__: None


def _no_nvml() -> None:
    raise OSError("no NVML here")


GPU: dict[str, Any] = {}
"""What this process takes for its GPUs: see RUNS."""


def fake_cuda() -> None:
    """Let this process find GPUs as in the table above."""
    sys.meta_path.append(Extensions())
    platforms = importlib.import_module("vllm.platforms")
    cpu = importlib.import_module("vllm.platforms.cpu").CpuPlatform()
    _use(platforms, cpu)  # something that can be asked while cuda.py is imported
    base = importlib.import_module("vllm.platforms.cuda").CudaPlatformBase
    capability = importlib.import_module("vllm.platforms.interface").DeviceCapability
    asked: dict[str, Callable[[], object]] = {
        "get_device_capability": lambda: capability(*GPU["capability"]),
        "get_device_name": lambda: GPU["name"],
        "get_device_total_memory": lambda: GPU["bytes"],
        "device_count": lambda: GPU["count"],
    }
    answers: dict[str, object] = {
        "get_device_uuid": "GPU-0",
        "is_fully_connected": True,
        "is_full_nvlink": True,
        "is_integrated_gpu": False,
        "num_compute_units": 132,
        "get_device_numa_node": None,
        "get_all_device_numa_nodes": None,
        "get_cuda_runtime_major": 13,
        "import_kernels": None,
        "log_warnings": None,
    }
    methods: dict[str, object] = {name: _asked(say) for name, say in asked.items()}
    methods |= {name: _said(value) for name, value in answers.items()}
    _use(platforms, type("FakeCuda", (base,), methods)())
    cuda: Any = importlib.import_module("torch.cuda")
    cuda.device_count = lambda: GPU["count"]
    cuda.get_device_capability = lambda *_: tuple(GPU["capability"])
    cuda.get_device_name = lambda *_: GPU["name"]
    cuda.current_device = lambda: 0
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm") and "cuda_device_count_stateless" in vars(module):
            vars(module)["cuda_device_count_stateless"] = lambda: GPU["count"]
    operators = importlib.import_module("vllm._custom_ops")
    for name in vars(operators):  # whether kernels for quantized models are there
        if "_supports_" in name or name.endswith("_supported"):
            vars(operators)[name] = lambda *_: False


def _asked(say: Callable[[], object]) -> object:
    return classmethod(lambda _cls, *_, **__: say())


def _said(value: object) -> object:
    return _asked(lambda: value)


def _use(platforms: types.ModuleType, platform: object) -> None:
    vars(platforms)["_current_platform"] = platform
    for name, module in list(sys.modules.items()):  # up to 0.6.6 it is decided when the package is imported
        if name.startswith("vllm") and "current_platform" in vars(module):
            vars(module)["current_platform"] = platform


def fake_model_classes() -> None:
    """Let every model be a plain decoder without a look at its class, which would load kernels."""
    registry: Any = importlib.import_module("vllm.model_executor.models.registry")
    names = [field.name for field in dataclasses.fields(registry._ModelInfo)]  # noqa: SLF001  # no other way in
    info = registry._ModelInfo(**{name: PLAIN_DECODER.get(name, False) for name in names})  # noqa: SLF001
    type(registry.ModelRegistry)._try_inspect_model_cls = lambda *_: info  # noqa: SLF001


def resolved(model: str, words: list[str]) -> dict[str, object]:
    """The settings that run with these words."""
    variables = dict(os.environ)  # 0.8.5 to 0.10.2 write down there which engine core they chose
    try:
        read = engine_worker.vllm_read("serve", [model, *words])
        usage = importlib.import_module("vllm.usage.usage_lib").UsageContext.OPENAI_API_SERVER
        arguments = engine_worker.vllm_engine_arguments().from_cli_args(read)
        config = arguments.create_engine_config(usage_context=usage)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever ends the engine's start is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        os.environ.clear()
        os.environ.update(variables)
    return dict(_settings(config))


def _settings(config: object) -> Iterator[tuple[str, object]]:
    for part, names in RESOLVED.items():
        for name in names.split():
            if hasattr(getattr(config, part), name):
                value = getattr(getattr(config, part), name)
                value = False if value is None and name.startswith("enable_") else value  # V0 of 0.8.5
                yield name, value if isinstance(value, str | int | float | None) else str(value)


Remembering = type(functools.cache(len))
"""What functools.cache and lru_cache make of a function."""


def answer_apart(model: str, run: Mapping[str, Any]) -> str:
    """One run's answers from a process of its own, which has forgotten what was asked of another GPU."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        GPU.update(run["gpu"])
        for remembered in [found for found in gc.get_objects() if type(found) is Remembering]:
            remembered.cache_clear()
        text = json.dumps([resolved(model, words) for words in run["lists"]])
        with os.fdopen(writing, "w") as out:
            out.write(text)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answered:
        text = answered.read()
    os.waitpid(child, 0)
    return text


def main() -> None:
    """Answer all runs."""
    tree, model = sys.argv[1:3]
    out = sys.stdout
    runs = [json.loads(line) for line in sys.stdin]
    GPU.update(runs[0]["gpu"])
    sys.argv = ["vllm", "serve"]  # vLLM looks for --help there
    with contextlib.redirect_stdout(sys.stderr):  # engines greet on standard output
        engine_parsers.put_first(Path(tree))
        fake_cuda()
        fake_model_classes()
        engine_worker.front("vllm", "serve")
        for run in runs:
            out.write((answer_apart(model, run) or "null") + "\n")
            out.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
