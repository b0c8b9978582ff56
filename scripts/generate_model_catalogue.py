r"""Makes operator/inferplan/domain/data/models.json out of public config.json files.

    PYTHONPATH=operator .venv/bin/python scripts/generate_model_catalogue.py CONFIGS

CONFIGS is a folder of ORG--NAME_config.json and ORG--NAME_hf_quant_config.json files, as the aiconfigurator_core 0.12.0
wheel (Apache-2.0) has them in model_configs/. Models of other sources are in more_models.json beside this script, with
their citation. Only fields that size a model are kept; equal shapes are stored once. Every entry is read back and must
give the same card as its original, else nothing is written.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_compact import compacted, expanded
from inferplan.domain.model_config import read_model_config

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "operator" / "inferplan" / "domain" / "data" / "models.json"
WHEEL = "aiconfigurator"
WHEEL_SOURCE = "config.json as in NVIDIA aiconfigurator_core 0.12.0, model_configs, Apache-2.0"
QUANTIZATION = ("quantization_config", "compression_config", "hf_quant_config")

KEPT = frozenset(
    """architectures attention attention_bias attention_chunk_size attention_head_dim attention_k_eq_v
    attention_other_setting attn_output_gate audio_config block_configs compress_ratios conv_kernel decoder_sparse_step
    deepstack_visual_indexes dense_intermediate_size depth dtype expert_dtype factor ffn ffn_mult first_k_dense_replace
    full_attn_layers global_head_dim hc_mult head_dim hidden_size hidden_size_per_layer_input hybrid_layer_pattern
    hybrid_override_pattern index_head_dim index_n_heads index_skip_topk_offset index_topk index_topk_freq
    interleave_moe_layer_step intermediate_size intermediate_size_mlp kda_layers kv_lora_rank layer_types
    layers_block_type linear_attn_config linear_conv_kernel_dim linear_key_head_dim linear_num_key_heads
    linear_num_value_heads linear_value_head_dim mamba_head_dim mamba_num_heads mamba_ssm_cache_dtype mamba_ssm_dtype
    max_position_embeddings merge_kernel_size mla_use_output_gate model_type moe_intermediate_size moe_latent_size
    moe_layer_freq moe_layers_enum moe_shared_expert_intermediate_size mtp_num_hidden_layers n_groups n_heads_in_group
    n_routed_experts n_shared_experts no_op no_rope_layers num_attention_heads num_experts num_experts_per_tok
    num_experts_per_token num_global_key_value_heads num_heads num_hidden_layers num_key_value_heads
    num_kv_shared_layers num_local_experts num_mtp_modules num_nextn_predict_layers num_position_embeddings
    num_shared_experts o_groups o_lora_rank original_max_position_embeddings patch_size q_lora_rank qk_nope_head_dim
    qk_rope_head_dim qkv_hidden_size replace_with_linear rope_parameters rope_scaling rope_type
    routed_expert_hidden_size share_expert_dim shared_expert_intermediate_size shared_intermediate_size
    short_conv_kernel_size sliding_window sliding_window_size sparse_attention_config sparse_attention_freq
    sparse_block_size sparse_index_dim sparse_num_index_heads sparse_topk_blocks spatial_merge_size ssm_state_size
    swa_head_dim swa_num_attention_heads swa_num_key_value_heads swa_v_head_dim temporal_patch_size text_config
    tie_word_embeddings top_k_experts torch_dtype type use_double_wide_mlp use_full_rank_gate use_sliding_window
    v_head_dim vision_config vocab_size vocab_size_per_layer_input vt_hidden_size vt_intermediate_size
    vt_num_hidden_layers full_attention sliding_attention""".split()  # noqa: SIM905  names read better as text
)
"""Fields that domain/model_reading reads."""


@dataclass(frozen=True)
class Original:
    """One model as its source has it."""

    name: str
    source: str
    config: Mapping[str, Any]

    @property
    def shape(self) -> Mapping[str, Any]:
        """What sizes it, without its quantization, in short."""
        return dict(compacted(_plain(self.config)))

    @property
    def published(self) -> Mapping[str, Any]:
        """How the checkpoint is quantized, as its config says."""
        places = [place for place in (self.config, self.config.get("text_config")) if isinstance(place, Mapping)]
        found = [(key, place[key]) for place in places for key in QUANTIZATION if place.get(key)]
        return dict(found[:1])

    @property
    def quantization(self) -> Mapping[str, Any]:
        """The same in short."""
        return dict(compacted(self.published))


def _plain(value: object) -> Any:  # noqa: ANN401  config.json holds values of every kind
    """What sizes a model, without null, empty lists and switches that are off."""
    if isinstance(value, Mapping):
        kept = {key: _plain(each) for key, each in sorted(value.items()) if key in KEPT}
        return {key: each for key, each in kept.items() if each not in (None, [], {}) and _tells(key, each)}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _tells(key: str, value: object) -> bool:
    return value is not False or key in {"tie_word_embeddings", "attn_output_gate"}


def from_wheel(folder: Path) -> Iterator[Original]:
    """Models of the wheel; hf_quant_config.json counts where config.json says nothing of quantization."""
    for path in sorted(folder.glob("*_config.json")):
        name = path.name.removesuffix("_config.json")
        if name.endswith("_hf_quant"):
            continue
        config = json.loads(path.read_text("utf-8"))
        beside = folder / f"{name}_hf_quant_config.json"
        if beside.exists() and not config.get("quantization_config"):
            config["hf_quant_config"] = json.loads(beside.read_text("utf-8"))
        yield Original(name.replace("--", "/"), WHEEL, config)


def from_others(text: Mapping[str, Any], wheel: Mapping[str, Original]) -> Iterator[Original]:
    """Models of more_models.json, whole or as ("as", "quantized_as") one of the wheel's."""
    for group in text["models"]:
        config = {**wheel[group["as"]].config, **group["config"]} if "as" in group else group["config"]
        if "quantized_as" in group:
            kept = {key: value for key, value in config.items() if key not in QUANTIZATION}
            config = {**kept, **wheel[group["quantized_as"]].published}
        for name in group["ids"]:
            yield Original(name, group["source"], config)


def main() -> None:
    """Writes the catalogue.

    Raises:
        SystemExit: An entry cannot be read, or is read otherwise than its original.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path)
    options = parser.parse_args()
    more = json.loads((HERE / "more_models.json").read_text("utf-8"))
    shapes: dict[str, str] = {}
    models: dict[str, list[Any]] = {}
    wheel = {each.name: each for each in from_wheel(options.configs)}
    for each in (*wheel.values(), *from_others(more, wheel)):
        key = shapes.setdefault(json.dumps(each.shape, sort_keys=True), each.name)
        models[each.name] = [key, each.source, each.quantization]
        check(each, {**expanded(json.loads(json.dumps(each.shape))), **expanded(each.quantization)})
    data = {
        "sources": {WHEEL: WHEEL_SOURCE, **more["sources"]},
        "shapes": {name: json.loads(text) for text, name in shapes.items()},
        "models": dict(sorted(models.items())),
    }
    TARGET.write_text(_lines(data), encoding="utf-8")
    print(f"{len(models)} models of {len(shapes)} shapes, {TARGET.stat().st_size} bytes")  # noqa: T201  a script


def check(original: Original, config: Mapping[str, Any]) -> None:
    """Ends the program where the entry is read otherwise than its original."""
    wanted, got = read_model_config(original.config), read_model_config(config)
    if not isinstance(wanted, ModelCard) or got != wanted:
        sys.exit(f"{original.name}: {got}\nis not\n{wanted}")


def _lines(data: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with one entry a line, so that differences can be read."""
    parts = []
    for section, entries in data.items():
        rows = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in entries.items()]
        joined = ",\n".join(rows)
        parts.append(f"{json.dumps(section)}: {{\n{joined}\n}}")
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    main()
