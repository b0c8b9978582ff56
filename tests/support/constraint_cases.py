"""Configurations that break a rule of an engine, each beside one that does not (test_constraints.py).

The vLLM cases are configurations that these releases' own config resolution accepted or refused, on faked GPUs.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.build import H100, a

from inferplan.api.values import Engine
from inferplan.dialects.constraints import Severity, Violation, violations
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard

REFUSED, IGNORED, RISKY = Severity.REFUSED, Severity.IGNORED, Severity.RISKY
EIGHT = replace(H100, count=8)
A100 = Accelerator("NVIDIA-A100-SXM4-80GB", 8, 81_920, 80)
T4 = Accelerator("Tesla-T4", 8, 15_360, 75)
V100 = Accelerator("Tesla-V100-SXM2-16GB", 8, 16_160, 70)
SHORT = a.model(max_position_embeddings=8192)
MANY_PORTS = {"data_parallel_multi_port_external_lb": True}
NGRAM = '{"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}'


def quantized(method: str) -> ModelCard:
    return a.model(quantization_method=method)


@dataclass(frozen=True)
class Try:
    """A configuration: version, settings, GPU, model, environment."""

    version: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    gpu: Accelerator = EIGHT
    model: ModelCard | None = SHORT
    environment: dict[str, str | None] = field(default_factory=dict)
    engine: Engine = Engine.VLLM

    def violations(self) -> tuple[Violation, ...]:
        stated = a.config(self.engine, self.version, **self.settings)
        runs = effective(stated, self.gpu, model=self.model, environment=self.environment)
        return violations(runs, self.gpu, self.model, environment=self.environment)


def sglang(**settings: Any) -> Try:
    return Try("0.5.23", settings, engine=Engine.SGLANG)


RULES: list[tuple[str, Severity, Try, Try]] = [
    (
        "tokens_below_sequences",
        REFUSED,
        Try("0.33.0", {"max_num_batched_tokens": 64, "max_batch_size": 128}),
        Try("0.33.0", {"max_num_batched_tokens": 64}),  # the default of sequences gives way
    ),
    ("tokens_below_sequences", REFUSED, Try("0.8.5", {"max_num_batched_tokens": 512}), Try("0.10.2", {})),
    (
        "tokens_below_length",
        REFUSED,
        Try("0.11.1", {"enable_chunked_prefill": False, "max_num_batched_tokens": 1024, "max_model_len": 4096}),
        Try("0.11.0", {"enable_chunked_prefill": False, "max_num_batched_tokens": 1024, "max_model_len": 4096}),
    ),
    (
        "tokens_below_length",
        REFUSED,
        Try("0.7.3", {"max_num_batched_tokens": 512}),  # V0 does not chunk short contexts
        Try("0.7.3", {"max_num_batched_tokens": 512, "enable_chunked_prefill": True}),
    ),
    (
        "chunking_cannot_be_switched_off",
        IGNORED,
        Try("0.10.0", {"enable_chunked_prefill": False}),
        Try("0.11.1", {"enable_chunked_prefill": False}),
    ),
    (
        "chunking_off_is_unsupported",
        RISKY,
        Try("0.12.0", {"enable_chunked_prefill": False}),
        Try("0.11.1", {"enable_chunked_prefill": False}),
    ),
    (
        "long_prefill_above_length",
        REFUSED,
        Try("0.27.1", {"long_prefill_token_threshold": 9000}),
        Try("0.26.0", {"long_prefill_token_threshold": 9000}),
    ),
    (
        "partial_prefills",
        REFUSED,
        Try("0.11.1", {"max_num_partial_prefills": 2}),
        Try("0.11.0", {"max_num_partial_prefills": 2}),
    ),
    (
        "partial_prefills",
        REFUSED,
        Try("0.7.3", {"max_num_partial_prefills": 2}),
        Try("0.7.3", {"max_num_partial_prefills": 2, "enable_chunked_prefill": True}),
    ),
    (
        "active_above_sequences",
        REFUSED,
        Try("0.31.0", {"max_num_active_seqs": 300, "max_batch_size": 256}),
        Try("0.31.0", {"max_num_active_seqs": 256, "max_batch_size": 256}),
    ),
    (
        "tokens_above_all_sequences",
        RISKY,
        Try("0.33.0", {"max_num_batched_tokens": 100_000, "max_batch_size": 8}),  # 8 x 8192 = 65,536
        Try("0.33.0", {"max_num_batched_tokens": 65_536, "max_batch_size": 8}),
    ),
    ("watermark_range", REFUSED, Try("0.24.0", {"watermark": 1.0}), Try("0.24.0", {"watermark": 0.01})),
    (
        "async_with_pipeline",
        REFUSED,
        Try("0.14.1", {"async_scheduling": True, "pipeline_parallel_size": 2}),
        Try("0.15.1", {"async_scheduling": True, "pipeline_parallel_size": 2}),
    ),
    (
        "async_with_ngram",
        REFUSED,
        Try("0.32.0", {"async_scheduling": True, "speculative_config": NGRAM}),
        Try("0.33.0", {"async_scheduling": True, "speculative_config": NGRAM}),
    ),
    (
        "async_with_ngram",
        RISKY,
        Try("0.14.1", {"speculative_config": NGRAM}),
        Try("0.14.1", {"speculative_config": NGRAM, "async_scheduling": False}),
    ),
    (
        "performance_mode_without_effect",
        IGNORED,
        Try("0.17.1", {"performance_mode": "throughput", "max_batch_size": 64, "max_num_batched_tokens": 4096}),
        Try("0.17.1", {"performance_mode": "throughput", "max_batch_size": 64}),
    ),
    (
        "utilization_range",
        REFUSED,
        Try("0.6.6", {"gpu_memory_utilization": 1.5}),
        Try("0.6.6", {"gpu_memory_utilization": 0.0}),  # accepted up to 0.11.0
    ),
    (
        "utilization_range",
        REFUSED,
        Try("0.11.1", {"gpu_memory_utilization": 0.0}),
        Try("0.11.1", {"gpu_memory_utilization": 1.0}),
    ),
    ("offload_range", REFUSED, Try("0.33.0", {"cpu_offload_gb": -1.0}), Try("0.33.0", {"cpu_offload_gb": 4.0})),
    (
        "utilization_without_effect",
        IGNORED,
        Try("0.33.0", {"kv_cache_memory_bytes": 2**30, "gpu_memory_utilization": 0.5}),
        Try("0.33.0", {"kv_cache_memory_bytes": 2**30}),
    ),
    (
        "length_above_the_models",
        REFUSED,
        Try("0.33.0", {"max_model_len": 100_000}),
        Try("0.33.0", {"max_model_len": 100_000}, environment={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": None}),
    ),
    (
        "length_above_the_models",
        RISKY,
        Try("0.33.0", {"max_model_len": 100_000}, environment={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}),
        Try("0.33.0", {"max_model_len": 8192}),
    ),
    (
        "kv_cache_dtype_not_listed",
        REFUSED,
        Try("0.18.1", {"kv_cache_dtype": "nvfp4"}),
        Try("0.20.2", {"kv_cache_dtype": "nvfp4"}),
    ),
    ("block_size_not_listed", REFUSED, Try("0.17.1", {"block_size": 48}), Try("0.18.1", {"block_size": 48})),
    (
        "scheduling_policy_not_listed",
        REFUSED,
        Try("0.33.0", {"scheduling_policy": "lifo"}),
        Try("0.33.0", {"scheduling_policy": "priority"}),
    ),
    ("dtype_not_listed", REFUSED, Try("0.33.0", {"dtype": "int8"}), Try("0.33.0", {"dtype": "half"})),
    (
        "performance_mode_not_listed",
        REFUSED,
        Try("0.33.0", {"performance_mode": "fast"}),
        Try("0.33.0", {"performance_mode": "interactivity"}),
    ),
    (
        "cache_format_needs_a_kernel",
        REFUSED,
        Try("0.33.0", {"kv_cache_dtype": "fp8"}, T4),
        Try("0.33.0", {"kv_cache_dtype": "fp8"}),
    ),
    (
        "cache_format_needs_a_kernel",
        RISKY,
        Try("0.33.0", {"kv_cache_dtype": "fp8"}, A100),  # FLASHINFER only
        Try("0.11.0", {"kv_cache_dtype": "fp8"}, A100),  # only what runs unasked was read
    ),
    (
        "cache_format_needs_a_kernel",
        REFUSED,
        Try("0.33.0", {"kv_cache_dtype": "fp8_e5m2", "attention_backend": "FLASH_ATTN"}),
        Try("0.33.0", {"kv_cache_dtype": "fp8", "attention_backend": "FLASH_ATTN"}),
    ),
    (
        "cache_format_needs_a_kernel",
        REFUSED,
        Try("0.33.0", {"kv_cache_dtype": "fp8_ds_mla"}, model=None),  # no backend whatever the model's attention
        Try("0.33.0", {"kv_cache_dtype": "fp8_e5m2"}, model=None),  # not for latent attention, but is it that?
    ),
    (
        "cache_format_is_the_models",
        REFUSED,
        Try("0.33.0", {"kv_cache_dtype": "float16", "dtype": "bfloat16"}),
        Try("0.33.0", {"kv_cache_dtype": "float16", "dtype": "half"}),
    ),
    (
        "graphs_without_effect",
        IGNORED,
        Try("0.33.0", {"enforce_eager": True, "cudagraph_capture_sizes": "1,2,4"}),
        Try("0.33.0", {"cudagraph_capture_sizes": "1,2,4"}),
    ),
    ("swap_space_without_effect", IGNORED, Try("0.9.2", {"swap_space": 8.0}), Try("0.7.3", {"swap_space": 8.0})),
    (
        "num_lookahead_slots_without_effect",
        IGNORED,
        Try("0.11.2", {"num_lookahead_slots": 4}),
        Try("0.6.6", {"num_lookahead_slots": 4}),
    ),
    (
        "max_seq_len_to_capture_without_effect",
        IGNORED,
        Try("0.10.2", {"max_seq_len_to_capture": 4096}),
        Try("0.11.0", {"max_seq_len_to_capture": 4096}),  # the parser knows it no more: not this rule's matter
    ),
    (
        "heads_divide",
        REFUSED,
        Try("0.7.3", {"tensor_parallel_size": 3}),
        Try("0.7.3", {"tensor_parallel_size": 4}),
    ),
    (
        "kv_heads_divide",
        REFUSED,
        Try("0.33.0", {"tensor_parallel_size": 3}, model=a.model(heads=24, kv_heads=8)),
        Try("0.33.0", {"tensor_parallel_size": 4}, model=a.model(heads=24, kv_heads=8)),
    ),
    (
        "kv_heads_divide",
        RISKY,
        Try("0.33.0", {"tensor_parallel_size": 8}, model=a.model(kv_heads=4)),  # each stored twice
        Try("0.33.0", {"tensor_parallel_size": 8}, model=a.model(kv_heads=8)),
    ),
    (
        "more_ranks_than_gpus",
        REFUSED,
        Try("0.11.1", {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}),
        Try("0.11.1", {"tensor_parallel_size": 8, "pipeline_parallel_size": 2, "nnodes": 2}),
    ),
    (
        "more_ranks_than_gpus",
        RISKY,
        Try("0.11.0", {"tensor_parallel_size": 16}),  # it looks for Ray
        Try("0.11.0", {"tensor_parallel_size": 16, "distributed_executor_backend": "ray"}),
    ),
    (
        "more_replicas_than_gpus",
        REFUSED,
        Try("0.33.0", {"tensor_parallel_size": 2, "data_parallel_size": 8}),
        Try("0.33.0", {"tensor_parallel_size": 2, "data_parallel_size": 4}),
    ),
    (
        "experts_need_a_mixture",
        REFUSED,
        Try("0.33.0", {"enable_expert_parallel": True}),
        Try("0.33.0", {"enable_expert_parallel": True}, model=None),
    ),
    (
        "balancing_needs_expert_parallelism",
        REFUSED,
        Try("0.10.0", {"enable_eplb": True}),
        Try("0.9.2", {"enable_eplb": True}),
    ),
    (
        "context_ranks_divide",
        REFUSED,
        Try("0.33.0", {"tensor_parallel_size": 4, "decode_context_parallel_size": 3}),
        Try("0.33.0", {"tensor_parallel_size": 4, "decode_context_parallel_size": 2}),
    ),
    (
        "method_not_in_release",
        REFUSED,
        Try("0.28.0", {"quantization": "bitsandbytes"}),
        Try("0.27.1", {"quantization": "bitsandbytes"}),
    ),
    (
        "method_not_in_release",
        REFUSED,
        Try("0.19.1", {"quantization": "fp8_per_tensor"}),
        Try("0.20.2", {"quantization": "fp8_per_tensor"}),
    ),
    (
        "gpu_too_old",
        REFUSED,
        Try("0.33.0", {"quantization": "fp8"}, V100),  # 7.5 from 0.14.1 on
        Try("0.33.0", {"quantization": "fp8"}, T4),
    ),
    (
        "gpu_too_old",
        REFUSED,
        Try("0.13.0", {"quantization": "fp8"}, T4),  # 8.0 before
        Try("0.13.0", {"quantization": "fp8"}, A100),
    ),
    (
        "gpu_too_old",
        REFUSED,
        Try("0.33.0", {"quantization": "mxfp8"}, T4, quantized("mxfp8")),  # the checkpoint's kernels: 8.0
        Try("0.33.0", {"quantization": "mxfp8"}, T4),  # while loading: 7.5
    ),
    (
        "deprecated_method",
        REFUSED,
        Try("0.33.0", {"quantization": "fbgemm_fp8"}, model=None),
        Try("0.13.0", {"quantization": "fbgemm_fp8"}, model=None),
    ),
    (
        "deprecated_method",
        RISKY,
        Try("0.33.0", {"quantization": "fbgemm_fp8", "allow_deprecated_quantization": True}, model=None),
        Try("0.33.0", {"quantization": "fp8", "allow_deprecated_quantization": True}, model=None),
    ),
    (
        "checkpoint_missing",
        REFUSED,
        Try("0.33.0", {"quantization": "awq"}),
        Try("0.33.0", {"quantization": "awq"}, model=quantized("awq")),
    ),
    (
        "checkpoint_differs",
        REFUSED,
        Try("0.33.0", {"quantization": "fp8"}, model=quantized("compressed-tensors")),
        Try("0.33.0", {"quantization": "gptq_marlin"}, model=quantized("gptq")),
    ),
    (
        "checkpoint_differs",
        REFUSED,
        Try("0.33.0", {"quantization": "fp8_per_tensor"}, model=quantized("fp8")),
        Try("0.33.0", {"quantization": "moe_wna16"}, model=quantized("awq")),
    ),
    (
        "checkpoint_decides",
        IGNORED,
        Try("0.33.0", {"quantization": "fp8"}, model=quantized("modelopt")),
        Try("0.33.0", {"quantization": "modelopt"}, model=quantized("modelopt")),
    ),
    (
        "checkpoint_not_in_release",
        REFUSED,
        Try("0.28.0", model=quantized("bitsandbytes")),
        Try("0.27.1", model=quantized("bitsandbytes")),
    ),
    (
        "rocm_only",
        REFUSED,
        Try("0.13.0", {"quantization": "ptpc_fp8"}),
        Try("0.13.0", {"quantization": "ptpc_fp8"}, Accelerator("Instinct_MI300X", 8, 196_592)),
    ),
    (
        "experts_only",
        IGNORED,
        Try("0.33.0", {"quantization": "experts_int8"}),
        Try("0.33.0", {"quantization": "experts_int8"}, model=None),
    ),
    ("fp8_spelling", RISKY, Try("0.31.0", {"quantization": "fp8"}), Try("0.30.0", {"quantization": "fp8"})),
    ("heads_divide", REFUSED, sglang(tensor_parallel_size=3), sglang(tensor_parallel_size=3, enable_dp_attention=True)),
    ("kv_heads_divide", RISKY, sglang(tensor_parallel_size=16), sglang(tensor_parallel_size=8)),
    (
        "chunk_is_whole_pages",
        REFUSED,
        sglang(max_num_batched_tokens=8192, block_size=48),
        sglang(max_num_batched_tokens=8192, block_size=64),
    ),
    (
        "graphs_without_effect",
        IGNORED,
        sglang(enforce_eager=True, cuda_graph_max_bs_decode=64),
        sglang(cuda_graph_max_bs_decode=64),
    ),
    ("kv_cache_dtype_not_listed", REFUSED, sglang(kv_cache_dtype="fp8"), sglang(kv_cache_dtype="fp8_e4m3")),
    ("quantization_not_listed", REFUSED, sglang(quantization="fp8_per_tensor"), sglang(quantization="fp8")),
    ("dtype_not_listed", REFUSED, sglang(dtype="int8"), sglang(dtype="half")),
    ("scheduling_policy_not_listed", REFUSED, sglang(scheduling_policy="fifo"), sglang(scheduling_policy="lpm")),
    ("attention_backend_not_listed", REFUSED, sglang(attention_backend="xformers"), sglang(attention_backend="fa3")),
    (
        "tool_choice_without_parser",
        REFUSED,
        Try("0.33.0", {"enable_auto_tool_choice": True}),
        Try("0.33.0", {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}),
    ),
    (
        "reasoning_without_parser",
        REFUSED,
        Try("0.7.3", {"enable_reasoning": True}),
        Try("0.7.3", {"enable_reasoning": True, "reasoning_parser": "deepseek_r1"}),
    ),
    (
        "log_outputs_without_requests",
        REFUSED,
        Try("0.12.0", {"enable_log_outputs": True, "enable_log_requests": False}),
        Try("0.12.0", {"enable_log_outputs": True, "enable_log_requests": True}),
    ),
    (
        "external_balancing_of_one",
        REFUSED,
        Try("0.24.0", MANY_PORTS | {"data_parallel_size": 2}),
        Try("0.24.0", MANY_PORTS | {"data_parallel_size": 4, "data_parallel_size_local": 2}),
    ),
    (
        "external_balancing_of_one",
        REFUSED,
        Try("0.33.0", MANY_PORTS | {"data_parallel_size": 3, "data_parallel_size_local": 2}),
        Try("0.33.0", {"data_parallel_size": 3, "data_parallel_size_local": 2}),
    ),
    (
        "grpc_port_of_the_other_front_end",
        REFUSED,
        Try("0.33.0", {"grpc_port": 50051}),
        Try("0.33.0", {"grpc_port": 50051}, environment={"VLLM_USE_RUST_FRONTEND": "1"}),
    ),
    (
        "config_of_no_online_method",
        REFUSED,
        Try("0.27.1", {"quantization": "mxfp4", "quantization_config": "{}"}),
        Try("0.29.0", {"quantization": "mxfp4", "quantization_config": "{}"}),
    ),
    (
        "config_of_no_online_method",
        REFUSED,
        Try("0.21.0", {"quantization_config": "{}"}),
        Try(
            "0.30.0",
            {"quantization_config": "{}", "quantization": "compressed-tensors"},
            model=quantized("compressed-tensors"),
        ),
    ),
    (
        "config_of_no_online_method",
        REFUSED,
        Try("0.24.0", {"quantization_config": "{}", "quantization": "modelopt"}, model=quantized("modelopt")),
        Try("0.24.0", {"quantization_config": "{}"}),
    ),
]
