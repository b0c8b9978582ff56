"""The flags that InferenceMAX's start scripts passed, which serving_measurements.csv omits.

Read at github.com/SemiAnalysisAI/InferenceX, benchmarks/ and benchmarks/single_node/, at the days that the rows were
measured; max_model_len is ISL + OSL + 200 (utils/matrix_logic). Somebody who runs these servers would know them, a
document that is written from the file alone has none: `run.py --flags` scores with them, to tell what they are worth.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.accuracy.serving import Row

Settings = dict[str, Any]
_NO_REUSE = {"enable_prefix_caching": False}
_FP8_CACHE = {"kv_cache_dtype": "fp8"}
_FP8_CACHE_SGLANG = {"kv_cache_dtype": "fp8_e4m3"}
_MANY = 16  # from here on SGLang's recipes look for new requests only every 30 steps
_MARGIN = 200


def settings_of(row: Row) -> Settings:
    """What the start script of a row set, by engine-neutral key; {} where no script is known."""
    recipe = _RECIPES.get((row.model, row.engine))
    if recipe is None:
        return {}
    lengths = {"max_model_len": row.input_tokens + row.output_tokens + _MARGIN}
    return {**_NO_REUSE, **(lengths if row.engine == "vllm" else {}), **recipe(row)}


def _llama(row: Row) -> Settings:
    batch = row.concurrency if row.gpu == "h200_sxm" else 512
    return {
        **_FP8_CACHE,
        "max_num_batched_tokens": 8192,
        "max_batch_size": batch,
        "gpu_memory_utilization": 0.9,
        "async_scheduling": True,
    }


def _gpt_oss(row: Row) -> Settings:
    return {"max_num_batched_tokens": 8192, "max_batch_size": row.concurrency, "gpu_memory_utilization": 0.9}


def _minimax(row: Row) -> Settings:
    if row.gpu == "h200_sxm":
        return {"gpu_memory_utilization": 0.95}
    if row.gpu == "h100_sxm":
        return {"gpu_memory_utilization": 0.9, "max_batch_size": 256}
    return {**_FP8_CACHE, "gpu_memory_utilization": 0.9, "max_num_batched_tokens": 2 * row.input_tokens}


def _kimi(row: Row) -> Settings:
    if row.precision == "int4":
        return {"gpu_memory_utilization": 0.95, "max_batch_size": row.concurrency}
    plain = {"gpu_memory_utilization": 0.9, "max_batch_size": row.concurrency}
    if row.measured < "2026-04":
        return plain
    return {**plain, **_FP8_CACHE, "max_num_batched_tokens": 2 * row.input_tokens}


def _deepseek(row: Row) -> Settings:
    if row.gpu == "h200_sxm":
        short = row.input_tokens == row.output_tokens
        return {
            "max_num_batched_tokens": 32768,
            "gpu_memory_utilization": 0.82,
            "max_batch_size": 512 if short else 256,
        }
    if row.precision == "fp4":
        return {**_sglang(16384, 0.85, 256), **_patient(row)}
    if "speculation" in row.marks:
        return {**_sglang(16384, 0.82, 512), **_patient(row), "speculative_algorithm": "EAGLE"}
    if row.tensor_parallel == 4:  # noqa: PLR2004  the script has this branch
        return {**_sglang(8192, 0.95, 32), "scheduler_recv_interval": 10}
    return {**_sglang(32768, 0.82, 128), **_patient(row)}


def _qwen(row: Row) -> Settings:
    if row.version == "0.5.10.post1" and row.precision == "fp8":
        return {**_sglang(16384, 0.8, row.concurrency), "scheduler_recv_interval": 10}
    if "speculation" in row.marks:
        return {**_sglang(32768, 0.8, row.concurrency), **_patient(row), "speculative_algorithm": "EAGLE"}
    found = {**_sglang(32768, 0.82, 128), **_patient(row)}
    return {**found, "kv_cache_dtype": "auto"} if row.precision == "bf16" else found


def _glm(row: Row) -> Settings:
    if row.precision == "fp4":
        return {
            "enable_prefix_caching": True,
            "max_num_batched_tokens": 131072,
            "gpu_memory_utilization": 0.8,
            "max_batch_size": row.concurrency,
        }
    return _sglang(32768, 0.85, row.concurrency)


def _sglang(chunk: int, share: float, running: int) -> Settings:
    return {
        **_FP8_CACHE_SGLANG,
        "max_num_batched_tokens": chunk,
        "gpu_memory_utilization": share,
        "max_batch_size": running,
    }


def _patient(row: Row) -> Settings:
    """New requests are looked for every 10 decode steps, every 30 with many clients."""
    return {"scheduler_recv_interval": 30 if row.concurrency >= _MANY else 10}


_RECIPES: Mapping[tuple[str, str], Callable[[Row], Settings]] = {
    ("meta-llama/Llama-3.1-70B", "vllm"): _llama,
    ("openai/gpt-oss-120b", "vllm"): _gpt_oss,
    ("MiniMaxAI/MiniMax-M2.5", "vllm"): _minimax,
    ("moonshotai/Kimi-K2.5", "vllm"): _kimi,
    ("deepseek-ai/DeepSeek-R1", "sglang"): _deepseek,
    ("Qwen/Qwen3.5-397B-A17B", "sglang"): _qwen,
    ("zhipuai/GLM-5", "sglang"): _glm,
}
