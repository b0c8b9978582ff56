"""InferenceInstances as somebody would write them who has only what the data says.

Everything is scored through them, as `inferplan estimate -f documents.yaml -o jsonl` reads them. What a source does not
say stays out, so that the version's own defaults count.
"""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.accuracy.serving import Row

Document = dict[str, Any]

_NAME_MAX, _DIGEST = 63, 8
_GPU_WITHOUT_NAME = re.compile(r"^~?(\d+)\s?GB\b.*\bGPU\b")
_CONFIGS = {
    "meta-llama/Llama-3.1-70B": "meta-llama--Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama--Meta-Llama-3.1-8B",
    "zhipuai/GLM-5": "zai-org--GLM-5",
}
_SERVED = {  # the checkpoints that InferenceMAX served and that model_configs/ has
    ("meta-llama/Llama-3.1-70B", "fp8"): "nvidia--Llama-3.1-70B-Instruct-FP8",
    ("MiniMaxAI/MiniMax-M2.5", "fp4"): "nvidia--MiniMax-M2.5-NVFP4",
    ("Qwen/Qwen3.5-397B-A17B", "fp4"): "nvidia--Qwen3.5-397B-A17B-NVFP4",
    ("moonshotai/Kimi-K2.5", "fp4"): "nvidia--Kimi-K2.5-NVFP4",
    ("zhipuai/GLM-5", "fp8"): "zai-org--GLM-5-FP8",
    ("zhipuai/GLM-5", "fp4"): "nvidia--GLM-5-NVFP4",
}
_BRINGS_ITS_OWN = {  # the base checkpoint is quantized already
    ("deepseek-ai/DeepSeek-R1", "fp8"),
    ("MiniMaxAI/MiniMax-M2.5", "fp8"),
    ("moonshotai/Kimi-K2.5", "int4"),
    ("openai/gpt-oss-120b", "fp4"),
}
_METHODS = {"fp8": "fp8", "fp4": "modelopt_fp4"}


class Configs:
    """config.json files by model id, as `model_configs/` holds them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Any]] = {}

    def named(self, name: str) -> dict[str, Any] | None:
        """The config in the file of that name, None where there is no such file."""
        if name not in self._read:
            path = self._folder / f"{name}.json"
            if not path.exists():
                return None
            self._read[name] = json.loads(path.read_text())
        return self._read[name]

    def of(self, model: str) -> dict[str, Any] | None:
        """The config of a model id, None where it is not there."""
        return self.named(_CONFIGS.get(model, model.replace("/", "--")))


def instance(name: str, spec: Mapping[str, Any]) -> Document:
    """An InferenceInstance with that spec; what is None or empty is left out."""
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": slug(name)},
        "spec": {key: _said(value) for key, value in spec.items() if _said(value) not in (None, {}, "")},
    }


def slug(name: str) -> str:
    """A name that Kubernetes takes, and that no other has. "Qwen3.5 B300" becomes "qwen3-5-b300"."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(plain) <= _NAME_MAX:
        return plain
    return f"{plain[: _NAME_MAX - _DIGEST - 1].strip('-')}-{sha256(name.encode()).hexdigest()[:_DIGEST]}"


def _said(value: Any) -> Any:  # noqa: ANN401  any part of a document
    if isinstance(value, Mapping):
        return {key: inner for key, inner in value.items() if inner is not None}
    return value


def of_row(row: Row, configs: Configs, flags: Mapping[str, Any] | None = None) -> Document:
    """The document of a serving measurement: checkpoint, layout and load; flags are those that the file omits."""
    model, config, settings = _checkpoint(row, configs)
    return instance(
        row.key,
        {
            "engine": row.engine,
            "engineVersion": row.version,
            "model": {"id": model, "config": config},
            "accelerator": {"product": row.gpu, "count": row.gpus},
            "currentConfig": {**_layout(row), **settings, **(flags or {})},
            "workload": {
                "concurrency": row.concurrency,
                "inputTokens": row.input_tokens,
                "outputTokens": row.output_tokens,
            },
        },
    )


def _checkpoint(row: Row, configs: Configs) -> tuple[str, dict[str, Any] | None, dict[str, Any]]:
    """Model id, its config, and the quantization setting where no config says it."""
    served = _SERVED.get((row.model, row.precision))
    if served is not None:
        return served.replace("--", "/"), configs.named(served), {}
    config = configs.of(row.model)
    method = _METHODS.get(row.precision)
    if method is None or (row.model, row.precision) in _BRINGS_ITS_OWN:
        return row.model, config, {}
    plain = None if config is None else {key: config[key] for key in config if key != "quantization_config"}
    return row.model, plain, {"quantization": method}


def _layout(row: Row) -> dict[str, Any]:
    settings: dict[str, Any] = {"tensor_parallel_size": row.tensor_parallel}
    if row.data_parallel > 1:
        settings["data_parallel_size"] = row.data_parallel
    if row.expert_parallel > 1 and row.engine == "vllm":
        settings["enable_expert_parallel"] = True
    elif row.expert_parallel > 1:
        settings["expert_parallel_size"] = row.expert_parallel
    return settings


def accelerator(gpu: str, count: int, memory_gib: float | None) -> dict[str, Any]:
    """spec.accelerator; of a card without a name only its memory is said. "24GB NVIDIA GPU (…)": 24 GiB."""
    nameless = _GPU_WITHOUT_NAME.match(gpu)
    product = re.sub(r"\s*\((?!.*NVL\b).*$", "", gpu)
    if nameless is not None:
        return {"count": count, "memoryGiB": memory_gib or float(nameless[1])}
    return {"product": product, "count": count, "memoryGiB": memory_gib}
