"""One model under one set of settings, and what a vLLM release's planner reads of its configuration."""

import contextlib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kv_release import interface, torch_dtype

Layer = Mapping[str, Any]


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

    @property
    def is_compressed(self) -> bool:
        """Whether it has DeepSeek V4's attention."""
        return any(layer["kind"] == "compressed" for layer in self.layers)

    def config(self, length: int, batched: int) -> Any:  # noqa: ANN401  # stands for the engine's VllmConfig
        """What the planner reads of VllmConfig."""
        given = self.settings
        speculated = given["speculative_tokens"]
        return SimpleNamespace(
            cache_config=self._cache(),
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

    def _cache(self) -> Any:  # noqa: ANN401  # stands for the engine's CacheConfig
        given = self.settings
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
        layout = self._layout()
        cache_config.get_resolved_kv_cache_layout = lambda: layout
        return cache_config

    def _layout(self) -> object:
        """LBNHC, or what DeepSeek V4's indexer asks for first; None before 0.29, where layouts had no such names."""
        if self.is_compressed and self.release >= (0, 29):
            indexer: Any = importlib.import_module("vllm.v1.attention.backends.mla.indexer")
            first: object = indexer.DeepseekV4IndexerBackend.supported_kv_cache_layouts()[0]
            return first
        with contextlib.suppress(ImportError):
            named: object = importlib.import_module("vllm.v1.kv_cache_layout").KVCacheLayout.LBNHC
            return named
        with contextlib.suppress(ImportError, AttributeError):
            own: object = interface().KVCacheLayout.LBNHC
            return own
        return None

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
