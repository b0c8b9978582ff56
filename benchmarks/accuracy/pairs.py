"""Before and after one change (improvement_pairs.json): two instances each, and the ratio that was measured.

Not every pair can be written as two instances: the source may not say the GPU or the load, or the change is not one of
a setting. These are counted with their reason. Pairs of TensorRT-LLM are written as vLLM of the newest release, and
scored apart: another engine, the same arithmetic.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.documents import Configs, Document, accelerator, instance
from benchmarks.accuracy.formats import NotExpressibleError, Settings, checkpoint_format
from benchmarks.accuracy.loads import load_of
from benchmarks.accuracy.model_shapes import shapes

METRICS = {  # what is compared, in the order in which it is chosen; tails and counts are not estimated
    "output_tok_s": "outputTokensPerSecond",
    "total_tok_s": "outputTokensPerSecond",
    "throughput_tok_s": "outputTokensPerSecond",
    "relative_throughput": "outputTokensPerSecond",
    "requests_per_s": "outputTokensPerSecond",
    "latency_s": "duration",
    "tpot_ms_mean": "itlMilliseconds",
    "itl_ms_mean": "itlMilliseconds",
    "ttft_ms_mean": "ttftMilliseconds",
    "kv_tokens": "kvCacheTokens",
    "num_gpu_blocks": "kvCacheTokens",
    "relative_kv_capacity": "kvCacheTokens",
    "weights_gib": "weightsBytes",
}
_OPEN_LOOP = ("tpot_ms_mean", "itl_ms_mean", "ttft_ms_mean", *METRICS)
LESS_IS_BETTER = frozenset({"duration", "itlMilliseconds", "ttftMilliseconds", "weightsBytes"})
_OTHER_ENGINE_VERSION = "0.33.0"
_CONFIGS = {
    "meta-llama/Llama-3.1-8B": "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-70B-Instruct": "meta-llama/Llama-3.1-70B",
    "meta-llama/Llama-3.3-70B-Instruct": "meta-llama/Llama-3.1-70B",
    "amd/Llama-3.1-405B-Instruct-FP8-KV": "meta-llama/Meta-Llama-3.1-405B",
    "Qwen/Qwen3-14B-AWQ": "Qwen/Qwen3-14B",
}
_FORMAT_OF_MODEL = {"amd/Llama-3.1-405B-Instruct-FP8-KV": "fp8", "Qwen/Qwen3-14B-AWQ": "awq int4"}
_KEYS = {  # categories whose values are the setting's
    "tensor_parallel": "tensor_parallel_size",
    "pipeline_parallel": "pipeline_parallel_size",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "max_num_seqs": "max_batch_size",
}
_FP16_ONLY = ("V100", "T4")


@dataclass(frozen=True)
class Pair:
    """Two instances that differ in one setting.

    Attributes:
        key: Its id in the file.
        before: The instance before the change.
        after: The instance after it.
        ratios: Measured after over before, by the file's name of the metric.
        source: Group of measurements that it comes from.
        category: What was changed.
        engine: Engine that was measured.
        gpu: GPU family.
        transferred: Measured on another engine than it is written for.
        doubtful: The source is weak, or more than one setting changed.
    """

    key: str
    before: Document
    after: Document
    ratios: Mapping[str, float]
    source: str
    category: str
    engine: str
    gpu: str
    transferred: bool
    doubtful: bool

    @property
    def metric(self) -> str:
        """The metric that stands for the pair: throughput where there is one, else latency, else capacity.

        At a rate that is served throughput is the rate, whatever changes: there latency comes first.
        """
        open_loop = "requestsPerSecond" in self.before["spec"].get("workload", {})
        return next(name for name in (_OPEN_LOOP if open_loop else METRICS) if name in self.ratios)


@dataclass(frozen=True)
class Left:
    """A pair that cannot be written as two instances, and why."""

    key: str
    source: str
    reason: str


def read_pairs(path: Path, configs: Configs) -> Iterator[Pair | Left]:
    """All pairs of the file."""
    known = shapes()
    for record in json.loads(path.read_text()):
        try:
            yield pair_of(record, configs, known)
        except NotExpressibleError as reason:
            yield Left(record["id"], record["source_group"], str(reason))


def pair_of(record: Mapping[str, Any], configs: Configs, known: Mapping[str, dict[str, Any]]) -> Pair:
    """One pair.

    Raises:
        NotExpressibleError: It cannot be written as two instances.
    """
    if record["gpu"] == "not stated":
        raise NotExpressibleError("the GPU is not stated")
    ratios = {name: ratio for name, ratio in record["ratio_after_over_before"].items() if name in METRICS}
    if not ratios:
        raise NotExpressibleError("no metric that is estimated")
    geometry = _CONFIGS.get(record["model"], record["model"])
    config = known.get(geometry) or configs.of(geometry)
    if config is None:
        raise NotExpressibleError(f"no public geometry of {record['model']}")
    before, after = (_side(record, config, side) for side in ("before", "after"))
    return Pair(
        key=record["id"],
        before=before,
        after=after,
        ratios=ratios,
        source=record["source_group"],
        category=record["setting_category"],
        engine=f"{record['engine']} {record['engine_version'] or 'unknown'}",
        gpu=record["gpu_family"] or record["gpu"],
        transferred=record["engine"].startswith("TensorRT"),
        doubtful=record["low_confidence"] or not record["only_one_setting_changed"],
    )


def _side(record: Mapping[str, Any], config: Mapping[str, Any], side: str) -> Document:
    quantization, changed = _changed(record, side)
    settings = {**_common(record, side), **changed}
    workload = load_of(record)
    model = {key: value for key, value in config.items() if key != "quantization_config"}
    if quantization is not None:
        model["quantization_config"] = quantization
    return instance(
        f"{record['id']}-{side}",
        {
            "engine": "sglang" if record["engine"] == "SGLang" else "vllm",
            "engineVersion": _version(record),
            "model": {"id": record["model"], "config": model},
            "accelerator": accelerator(record["gpu"], _gpus(settings), None),
            "currentConfig": settings,
            "workload": workload,
        },
    )


def _gpus(settings: Settings) -> int:
    return int(settings["tensor_parallel_size"]) * int(settings.get("pipeline_parallel_size", 1))


def _version(record: Mapping[str, Any]) -> str | None:
    if record["engine"].startswith("TensorRT"):
        return _OTHER_ENGINE_VERSION
    found = re.match(r"(?:vLLM )?(\d+\.\d+\.\d+\S*)", record["engine_version"] or "")
    return found[1] if found else None


def _common(record: Mapping[str, Any], side: str) -> Settings:
    """What both sides have, as far as the source states it."""
    settings: Settings = {"tensor_parallel_size": _parallel(record, side)}
    longest = record["workload"].get("max_model_len") or _number(r"max_model_len[= ]+(\d+)", record)
    utilization = _number(r"gpu_memory_utilization[= ]+(0?\.\d+)", record)
    settings |= {"max_model_len": longest and int(longest), "gpu_memory_utilization": utilization}
    batch = None if record["setting_category"] == "max_num_seqs" else _number(r"max_num_seqs (\d+)", record)
    settings["max_batch_size"] = batch and int(batch)
    if any(name in record["gpu"] for name in _FP16_ONLY):
        settings["dtype"] = "float16"
    if "--enforce-eager" in (record["notes"] or ""):
        settings["enforce_eager"] = True
    return settings


def _number(pattern: str, record: Mapping[str, Any]) -> float | None:
    found = re.search(pattern, f"{record['notes'] or ''} {record['workload'].get('notes') or ''}")
    return float(found[1]) if found else None


def _parallel(record: Mapping[str, Any], side: str) -> int:
    stated = record["tensor_parallel_size"]
    if isinstance(stated, int):
        return stated
    return int(re.findall(r"\d+", str(stated))[0 if side == "before" else -1]) if stated else 1


def _changed(record: Mapping[str, Any], side: str) -> tuple[dict[str, Any] | None, Settings]:
    """quantization_config of the checkpoint and the settings that one side has and the other has not."""
    category, value = record["setting_category"], record["setting_changed"][side]
    standing, settings = checkpoint_format(_FORMAT_OF_MODEL.get(record["model"], "bf16"))
    if category == "quantization":
        return checkpoint_format(str(value))
    if category in _KEYS:
        return standing, {**settings, **_valued(record, category, value)}
    if category == "kv_cache_dtype":
        return standing, {**settings, "kv_cache_dtype": "fp8" if str(value).startswith("fp8") else "auto"}
    if category == "chunked_prefill":
        return standing, {**settings, **_chunked(str(value))}
    if category == "prefix_caching":
        return standing, {**settings, **_cached(record, str(value))}
    raise NotExpressibleError(f"{category} is no setting of an instance")


def _valued(record: Mapping[str, Any], category: str, value: object) -> Settings:
    """The setting itself, and what the name of the change says stands beside it."""
    beside: Settings = {}
    if category == "max_num_batched_tokens" and record["engine"] == "vLLM":
        beside["enable_chunked_prefill"] = True
    if category == "gpu_memory_utilization":
        return {_KEYS[category]: float(str(value))}
    found = re.search(r"\d+", str(value))
    return beside if found is None else {**beside, _KEYS[category]: int(found[0])}


def _chunked(value: str) -> Settings:
    """Whether prefill is chunked, and in what steps. "on (512)": in steps of 512 tokens."""
    size = re.search(r"\d+", value)
    on = value.startswith("on")
    tokens = {"max_num_batched_tokens": int(size[0])} if size else {}
    return {"enable_chunked_prefill": on, **tokens}


def _cached(record: Mapping[str, Any], value: str) -> Settings:
    beside = _chunked("on (512)") if "chunked prefill on, 512" in record["setting_changed"]["name"] else {}
    return {"enable_prefix_caching": value == "on", **beside}
