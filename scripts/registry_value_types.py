"""What the type functions in the engines' parser dumps read: the names that inferplan.dialects.registry uses.

Every entry was held against the engine's own parser object (the function inside `_optional_type`'s closure) for all
32 vLLM releases from 0.6.6 to 0.33.0, and against sglang/srt/utils/common.py and model_executor/cuda_graph_config.py
of SGLang 0.5.23.
"""

import sys
from collections.abc import Mapping
from typing import Any

TYPES = {
    None: "text",
    "str": "text",
    "nullable_str": "text",  # vllm/engine/arg_utils.py 0.6.6: "" and "None" are None
    "parse_reasoning_parser": "text",  # 0.33.0: "none" in any case stands for the empty default
    "int": "integer",
    "float": "number",
    "bool": "truthy",  # 0.11.0: Python's bool(text), so "False" is true
    "human_readable_int": "human_integer",
    "human_readable_int_or_auto": "human_integer_or_auto",
    "loads": "json",
    "_parse_type": "json",  # parse_type(json.loads) in every release
    "parse_dataclass": "object",
    "from_json": "object",  # PoolerConfig.from_json, 0.6.6
    "union_dict_and_str": "object_or_text",
    "nullable_kvs": "pairs",
    "json_list_type": "json",  # SGLang
    "parse_cuda_graph_config_arg": "object",  # SGLang
    "parse_cuda_graph_backend_arg": "text",  # SGLang
}
"""By the type function's name."""

SGLANG = {"human_readable_int": "si_integer"}
"""SGLang's functions of the same name read something else: sglang/srt/utils/common.py 0.5.23."""

NULLABLE = frozenset({"nullable_str", "_optional_type"})

UNNAMED = {
    "from_cli": {"compilation_config": "object_or_level", "kv_transfer_config": "object"},  # vllm/config.py 0.6.6
    "<lambda>": {
        "device_ids": "list",
        "linear_backend": "lower_snake",
        "moe_backend": "lower_snake",
        "sparse_indexer_topk_backend": "lower_snake",
    },
}
"""Functions whose name says nothing, by flag (vllm/engine/arg_utils.py 0.33.0)."""

OPTIONAL = {
    "integer": """
        cpu_distributed_timeout_seconds cuda_graph_sizes cudagraph_capture_sizes distributed_timeout_seconds grpc_port
        mamba_block_size max_cpu_loras max_cudagraph_capture_size max_log_len max_lora_cls_labels max_num_active_seqs
        max_num_queued_reqs max_parallel_loading_workers num_gpu_blocks_override numa_bind_nodes
        prefix_cache_retention_interval prefix_match_unit seed""",
    "number": "kv_offloading_size long_lora_scaling_factors rope_theta video_pruning_rate",
    "human_integer": "kv_cache_memory_bytes max_num_queued_tokens max_num_scheduled_tokens",
    "json": """
        custom_histogram_buckets default_mm_loras diffusion_config limit_mm_per_prompt mm_processor_kwargs
        model_loader_extra_config speculative_config tokenizer_pool_extra_config watermark_config""",
    "object": """
        ec_transfer_config engram_config kv_events_config kv_transfer_config pooler_config quantization_config
        reasoning_config weight_transfer_config""",
    "object_or_text": "override_pooler_config",  # an object only in 0.11.0 to 0.11.2, its last releases
    "text": """
        all2all_backend allowed_media_domains api_key attention_backend chat_template code_revision
        collect_detailed_traces dcp_comm_backend device disable_access_log_for_endpoints distributed_executor_backend
        download_dir fingerprint_value generation_config hf_config_path host ignore_patterns io_processor_plugin
        kv_offloading_backend log_config_file logits_processor_pattern logits_processors lora_modules
        lora_target_modules mamba_ssu_algorithm middleware mm_encoder_attn_backend mm_encoder_attn_dtype
        mm_encoder_fp8_scale_path mm_encoder_fp8_scale_save_path numa_bind_cpus otlp_traces_endpoint
        override_attention_dtype preemption_mode prompt_adapters quantization reasoning_parser response_role revision
        root_path safetensors_load_strategy scheduler_cls served_model_name show_hidden_metrics_for_version
        spec_method spec_model ssl_ca_certs ssl_certfile ssl_ciphers ssl_keyfile task tokenizer tokenizer_revision
        tool_call_parser tool_server tool_strict_level uds""",
}
"""What vLLM's `_optional_type` wraps, by flag."""

_WRAPPED = {dest: kind for kind, names in OPTIONAL.items() for dest in names.split()}


def value_type(engine: str, action: Mapping[str, Any]) -> tuple[str, bool]:
    """The type of a flag's value, and whether "" and "None" stand for no value.

    Args:
        engine: "vllm" or "sglang".
        action: One entry of a dump.

    Raises:
        SystemExit: A type function that is not in the tables.
    """
    name, dest = action.get("type"), action["dest"]
    by_flag = _WRAPPED if name == "_optional_type" else UNNAMED.get(name or "", {})
    kind = by_flag.get(dest) or (SGLANG.get(name or "") if engine == "sglang" else None) or TYPES.get(name)
    if kind is None:
        sys.exit(f"{engine} {dest}: type {name} is unknown; say in registry_value_types.py what it reads")
    return kind, name in NULLABLE
