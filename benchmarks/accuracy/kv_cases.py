"""Start-up logs of vLLM servers (kv_capacity_cases.json): what was asked, what the log said.

The notes of the file say which number can be compared. Hybrid and sliding-window models print tokens that are
concurrency x max_model_len, some versions others, so there the concurrency is compared; elsewhere the tokens; where
a log has only the GiB left for the cache, those. Cases whose utilization nobody states, or that was assumed to be the
default, are scored apart. Formats are passed on as the file words them ("awq int4", "fp8 (block)").
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.documents import Document, accelerator, instance

GIB = 2**30
_ASSUMED = re.compile(r"default|not set|assumed|not stated|not in the")
_BESIDES = ("config_source", "total_params_b", "total_params_source", "param_source")


@dataclass(frozen=True)
class Case:
    """One start-up log.

    Attributes:
        key: Its id in the file.
        document: The instance as its owner would write it.
        quantity: tokens, concurrency or bytes: which number is compared.
        measured: That number; bytes are per GPU.
        known: The utilization is stated.
        fits: False where the log says that the model does not fit.
        same: What is equal between cases of one checkpoint, GPU and engine version.
        alike: What is equal between cases of one model and GPU, whatever its checkpoint and engine version.
        groups: What it is counted under in the table.
    """

    key: str
    document: Document
    quantity: str
    measured: float
    known: bool
    fits: bool
    same: tuple[str, ...]
    alike: tuple[str, ...]
    groups: Mapping[str, str]


def read_cases(path: Path) -> list[Case]:
    """The cases that say anything that can be compared."""
    found = (case_of(record) for record in json.loads(path.read_text()))
    return [case for case in found if case is not None]


def case_of(record: Mapping[str, Any]) -> Case | None:
    """One case; None where its log has no number of capacity."""
    quantity, measured = _measured(record)
    if measured is None:
        return None
    source = record["gpu_memory_utilization_source"] or ""
    stated = record["gpu_memory_utilization"] is not None and not _ASSUMED.search(source)
    return Case(
        key=record["id"],
        document=_document(record),
        quantity=quantity,
        measured=measured,
        known=stated,
        fits=measured > 0,
        same=tuple(str(record[name]) for name in ("model", "quantization", "gpu", "vllm_version")),
        alike=(str(record["base_model"] or record["model"]), record["gpu"]),
        groups=_groups(record),
    )


def _groups(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "model": record["base_model"] or record["model"],
        "GPU": f"{record['gpu_count']} x {record['gpu']}",
        "engine": f"vllm {record['vllm_version'] or 'unknown'}",
        "setting": f"{record['quantization'] or '16 bit'}, KV {record['kv_cache_dtype'] or 'auto'}",
    }


def _measured(record: Mapping[str, Any]) -> tuple[str, float | None]:
    observed = record["observed"] or {}
    tokens, concurrency = observed.get("kv_tokens"), observed.get("max_concurrency")
    longest = record["max_model_len"]
    if "hybrid_or_sliding_window_layout" in record["flags"]:
        if concurrency is None and tokens is not None and longest is not None:
            concurrency = tokens / longest
        if concurrency is not None:
            return "concurrency", concurrency
    elif tokens is not None:
        return "tokens", tokens
    elif concurrency is not None and longest is not None:
        return "tokens", concurrency * longest
    left = observed.get("available_kv_gib")
    return "bytes", None if left is None else left * GIB


def _document(record: Mapping[str, Any]) -> Document:
    config = {key: value for key, value in (record["model_config"] or {}).items() if key not in _BESIDES}
    return instance(
        record["id"],
        {
            "engine": "vllm",
            "engineVersion": record["vllm_version"],
            "model": {"id": record["model"], "config": config},
            "accelerator": accelerator(record["gpu"], record["gpu_count"], record["gpu_memory_gib"]),
            "currentConfig": _settings(record),
        },
    )


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "max_model_len": record["max_model_len"],
        "max_num_batched_tokens": record["max_num_batched_tokens"],
        "max_batch_size": record["max_num_seqs"],
        "gpu_memory_utilization": record["gpu_memory_utilization"],
        "tensor_parallel_size": record["tensor_parallel_size"],
        "pipeline_parallel_size": record["pipeline_parallel_size"],
        "dtype": record["dtype"],
        "kv_cache_dtype": _first_word(record["kv_cache_dtype"]),
        "quantization": record["quantization"],
        "enforce_eager": record["enforce_eager"],
        "block_size": _stated_block(record),
    }


def _stated_block(record: Mapping[str, Any]) -> int | None:
    """The block size where the notes say that it was a flag; a log's own block size is a result, not an argument."""
    found = re.search(r"--block-size=(\d+)", record["notes"] or "")
    return int(found[1]) if found else None


def _first_word(text: str | None) -> str | None:
    return text.split()[0] if text else None
