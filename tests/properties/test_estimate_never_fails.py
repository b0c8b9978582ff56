"""Whatever a document holds, `inferplan estimate` answers with one line for it, and no fault of its own."""

import copy
import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inferplan.api.estimate import Estimate
from inferplan.cli import main
from inferplan.cli.output import one_line

pytestmark = pytest.mark.timeout(120)

DENSE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
EXPERTS: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "vocab_size": 151936,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 40960,
}
LATENT: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 163840,
    "num_nextn_predict_layers": 1,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"},
}


def document(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": "n", "namespace": "s"},
        "spec": {
            "engine": "vllm",
            "engineVersion": "0.30.0",
            "model": {"id": "org/model", "config": config},
            "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 8, "memoryGiB": 79.1},
            "currentConfig": {
                "max_model_len": 8192,
                "gpu_memory_utilization": 0.9,
                "max_batch_size": 256,
                "max_num_batched_tokens": 8192,
                "tensor_parallel_size": 8,
                "kv_cache_dtype": "auto",
                "block_size": 16,
            },
            "workload": {"concurrency": 64, "inputTokens": 1024, "outputTokens": 256, "prefixShare": 0.1},
        },
    }


_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70_000),
    st.sampled_from([0, -1, 10**12, 10**18, 10**400, 2**31, 2**63]),
    st.floats(),
    st.sampled_from([1e-300, 1e300, 5e-324, 0.0, -0.0, 0.5]),
    st.text(max_size=12),
    st.sampled_from(
        [
            *("sglang", "tgi", "auto", "fp8", "nvfp4", "awq", "float32", "int4", "bitsandbytes", "\ud800", "\x1b[2J"),
            *("Tesla T4", "AMD Instinct MI300X", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "nightly", ">=0.8", "0.5.9"),
            *("GptOssForCausalLM", "Gemma3ForCausalLM", "MambaForCausalLM", "x" * 6000),
        ]
    ),
    st.lists(st.integers(-1, 300), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
_KEYS = st.sampled_from(
    [
        *("quantization", "dtype", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel"),
        *("speculative_config", "kv_cache_memory_bytes", "num_gpu_blocks_override", "enforce_eager", "cpu_offload_gb"),
        *("layer_types", "sliding_window", "text_config", "vision_config", "num_local_experts", "layer_type_counts"),
        *("ssm_state_size", "hybrid_override_pattern", "requestsPerSecond", "targetRef", "replicas", "no such key"),
    ]
)
repeatable = settings(max_examples=150, derandomize=True, deadline=None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("instances") / "instances.yaml"


def places(content: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    """The path of every value in a document."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inside for place in places(value, *path, key))]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A good document in which up to three values are others, gone, or new."""
    made: Any = document(copy.deepcopy(draw(st.sampled_from([DENSE, EXPERTS, LATENT]))))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(made)[1:]))
        holder = made
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["other", "other", "gone", "new"])):
            case "other":
                holder[path[-1]] = draw(_ODD)
            case "gone":
                del holder[path[-1]]
            case _:
                if isinstance(holder, dict):
                    holder[draw(_KEYS)] = draw(_ODD)
        if not isinstance(made, dict) or not made:
            break
    return made


def answers(file: Path, *words: str) -> tuple[int, list[str]]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["estimate", "-f", str(file), "-o", "jsonl", *words])
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue().splitlines()


def is_error(line: str) -> bool:
    """Whether a line is an error; all of it must be what the command promises."""
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    if found.keys() == {"error"}:
        assert "fault of inferplan" not in found["error"]
        assert found["error"] == one_line(found["error"])
        return True
    estimate = Estimate.model_validate(found)
    assert estimate.memory is not None or estimate.performance is not None
    return False


@given(documents=st.lists(mutated(), min_size=1, max_size=3))
@repeatable
def test_a_changed_document_has_one_line(documents: Sequence[Any], file: Path) -> None:
    documents = [
        entry if entry.get("kind") == "InferenceInstance" else {**entry, "kind": "InferenceInstance"}
        for entry in documents
    ]
    file.write_bytes(b"---\n".join(yaml.safe_dump(entry).encode("utf-8", "backslashreplace") for entry in documents))
    code, lines = answers(file)
    errors = [is_error(line) for line in lines]
    assert len(errors) == len(documents)
    assert code == (2 if any(errors) else 0)


@given(entry=mutated(), output=st.sampled_from(["table", "json", "yaml"]))
@repeatable
def test_every_output_can_be_printed(entry: Any, output: str, file: Path) -> None:
    file.write_text(json.dumps(entry), encoding="utf-8")
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["estimate", "-f", str(file), "-o", output, "--batch", "3", "--input", "7", "--output", "9"])
    assert code in {0, 2}
    assert bool(err.getvalue()) == (code == 2)
    assert "fault of inferplan" not in out.getvalue() + err.getvalue()
    out.getvalue().encode()


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@repeatable
def test_any_bytes(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    code, lines = answers(file)
    errors = [is_error(line) for line in lines]
    assert code == 2
    assert all(errors)
