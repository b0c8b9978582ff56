"""The simulator's memory budget, batch limits and start-up errors."""

from dataclasses import replace

import pytest

from inferplan_lab.engine import memory
from inferplan_lab.engine.flags import StartupError, parse
from inferplan_lab.engine.geometry import BUILT_IN, LLAMA_3_1_8B, Geometry, geometry_of
from inferplan_lab.engine.hardware import GIB, default_batch_limits, gpu_of
from inferplan_lab.engine.limits import Machine
from inferplan_lab.engine.memory import Placement
from inferplan_lab.engine.settings import EngineSettings, resolve

ONE = Placement()
QWEN3_8B = BUILT_IN["qwen/qwen3-8b"]
H100 = gpu_of("NVIDIA-H100-80GB-HBM3")


def settings(*words: str, version: str = "0.33.0", product: str = H100.product, gpus: int = 1) -> EngineSettings:
    flags = parse(version, ["m", *words], api_server=False)
    return resolve(flags, Machine(version, gpu_of(product), gpus), LLAMA_3_1_8B)


def test_forty_gib_hold_what_vllms_own_planner_says() -> None:
    # 36 layers x 8 heads x (128 + 128) x 2 bytes x 16 tokens = 2359296 bytes a block; 40 GiB / that = 18204.4
    one = memory.block_bytes(QWEN3_8B, ONE, "auto", 16)
    plan = memory.plan_of(40 * GIB // one, 16, 40960)
    assert (one, plan.blocks, plan.size_tokens) == (2359296, 18204, 291264)
    assert round(plan.max_concurrency, 2) == 7.11


def test_fp8_doubles_the_blocks() -> None:
    one = memory.block_bytes(QWEN3_8B, ONE, "fp8", 16)
    assert memory.plan_of(40 * GIB // one, 16, 40960).blocks == 2 * 18204


def test_mla_is_one_narrow_head_on_every_gpu() -> None:
    # 61 layers x 576 x 2 bytes x 64 tokens; 30 GiB hold 7162 blocks, 458368 tokens
    model = Geometry(61, 7168, 128, 128, 128, 18432, 129280, 163840, latent=576)
    one = memory.block_bytes(model, Placement(tensor_parallel=8), "auto", 64)
    plan = memory.plan_of(30 * GIB // one, 64, 64)
    assert (plan.blocks, plan.size_tokens) == (7162, 458368)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("auto", 512),
        ("fp8_e5m2", 256),
        ("int8_per_token_head", 264),
        ("fp8_per_token_head", 264),
        ("nvfp4", 144),
        ("turboquant_k8v4", 196),
        ("turboquant_3bit_nc", 102),
    ],
)
def test_a_head_of_128_takes_the_known_bytes(dtype: str, expected: int) -> None:
    assert memory.head_bytes(128, dtype) == expected


def test_tensor_parallelism_divides_heads_until_one_is_left() -> None:
    quarter = memory.block_bytes(QWEN3_8B, Placement(4), "auto", 16)
    assert memory.block_bytes(QWEN3_8B, ONE, "auto", 16) == 4 * quarter
    assert memory.block_bytes(QWEN3_8B, Placement(16), "auto", 16) == quarter // 2  # 8 heads: one each, twice


@pytest.mark.parametrize(
    ("vocabulary", "sequences", "gib"),
    [(128256, 320, 1.49), (151936, 128, 0.70), (128256, 1024, 4.76), (151936, 1024, 5.6), (201088, 1024, 7.38)],
)
def test_the_sampler_needs_what_start_up_logs_tell(vocabulary: int, sequences: int, gib: float) -> None:
    model = Geometry(28, 3072, 24, 8, 128, 8192, vocabulary, 131072)
    peak = memory.activation_bytes(model, ONE, 2048, sequences)
    assert peak / GIB == pytest.approx(gib, rel=0.02)


def test_many_step_tokens_need_more_than_the_sampler() -> None:
    # 65536 tokens x (2 x 14336 + 4 x 4096) elements x 2 bytes
    assert memory.activation_bytes(LLAMA_3_1_8B, ONE, 65536, 16) == 65536 * 45056 * 2
    assert memory.activation_bytes(LLAMA_3_1_8B, Placement(2), 65536, 16) == 65536 * 45056


@pytest.mark.parametrize(
    ("model", "bytes_each", "gib"),
    [
        ("meta-llama/llama-3.1-8b-instruct", 2.0, 14.99),
        ("meta-llama/llama-3.1-8b-instruct", 0.56, 5.60),  # bitsandbytes
        ("meta-llama/llama-3.1-70b-instruct", 1.0, 67.7),  # fp8
        ("qwen/qwen3-0.6b", 2.0, 1.12),
        ("qwen/qwen3-32b", 2.0, 61.03),
    ],
)
def test_weights_take_what_start_up_logs_tell(model: str, bytes_each: float, gib: float) -> None:
    shape = replace(BUILT_IN[model], weight_bytes_each=bytes_each)
    assert memory.weight_bytes(shape, ONE) / GIB == pytest.approx(gib, rel=0.01)


@pytest.mark.parametrize(
    ("product", "release", "limits"),
    [
        ("NVIDIA-H100-80GB-HBM3", (0, 33), (8192, 1024)),
        ("NVIDIA-A100-SXM4-80GB", (0, 33), (2048, 256)),
        ("NVIDIA-A100-SXM4-80GB", (0, 8, 5), (8192, 1024)),
        ("NVIDIA-L4", (0, 33), (2048, 256)),
        ("NVIDIA-B200", (0, 33), (16384, 1024)),
        ("NVIDIA-B200", (0, 28), (8192, 1024)),
        ("Some-New-Card", (0, 33), (2048, 256)),
    ],
)
def test_batch_limits_follow_gpu_and_release(product: str, release: tuple[int, ...], limits: tuple[int, int]) -> None:
    assert default_batch_limits(gpu_of(product), release) == limits


def test_the_memory_label_wins_over_the_table() -> None:
    assert gpu_of("NVIDIA-L4", 1000).memory_mib == 1000
    assert gpu_of("NVIDIA-L40S").memory_mib == 46068


def test_defaults_fill_in_and_are_capped() -> None:
    plain = settings()
    assert (plain.batching.max_num_batched_tokens, plain.batching.max_num_seqs) == (8192, 1024)
    assert (plain.max_model_len, plain.prefix_caching, plain.utilization) == (131072, True, 0.92)
    assert settings("--max-num-batched-tokens", "512").batching.max_num_seqs == 512
    assert settings("--performance-mode", "throughput").batching.max_num_batched_tokens == 16384
    assert settings("--max-num-seqs", "8", "--max-num-active-seqs", "4").batching.max_num_seqs == 4
    small = settings("--max-model-len", "128", "--max-num-seqs", "2")
    assert small.batching.max_num_batched_tokens == 256  # 2 requests of 128 tokens
    whole = settings("--no-enable-chunked-prefill", "--max-model-len", "16384")
    assert whole.batching.max_num_batched_tokens == 16384


def test_more_utilization_or_fewer_requests_leave_more_blocks() -> None:
    base = settings("--max-model-len", "8192").kv.blocks
    assert settings("--max-model-len", "8192", "--gpu-memory-utilization", "0.95").kv.blocks > base
    assert settings("--max-model-len", "8192", "--max-num-seqs", "256").kv.blocks > base
    assert settings("--max-model-len", "8192", "--kv-cache-dtype", "fp8").kv.blocks in (2 * base, 2 * base + 1)


def test_given_bytes_and_blocks_are_honoured() -> None:
    # 32 layers x 8 heads x 256 x 2 bytes x 16 tokens = 2 MiB a block
    assert settings("--kv-cache-memory-bytes", "1G", "--max-model-len", "4096").kv.blocks == 512
    assert settings("--num-gpu-blocks-override", "300", "--max-model-len", "4096").kv.blocks == 300


def test_auto_length_is_what_fits() -> None:
    assert settings("--max-model-len", "auto", "--num-gpu-blocks-override", "100").max_model_len == 1600


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-num-seqs", "16", "--max-num-batched-tokens", "8"), "must be greater than or equal to max_num_seqs"),
        (("--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048"), "is smaller than max_model_len"),
        (("--max-model-len", "200k"), "greater than the derived max_model_len"),
        (("--gpu-memory-utilization", "0.3"), "To serve at least one request with the model's max seq len"),
        (("--gpu-memory-utilization", "0.2"), "No available memory for the cache blocks"),
        (("--gpu-memory-utilization", "1.0"), "less than desired GPU memory utilization"),
        (("--gpu-memory-utilization", "1.2"), "must be in"),
        (("--kv-cache-dtype", "fp9"), "validation error for CacheConfig"),
        (("-tp", "2"), "larger than the number of available GPUs"),
        (("-tp", "3"), "must be divisible by tensor parallel size"),
        (("-dp", "2"), "does not simulate data parallelism"),
        (("--num-gpu-blocks-override", "10"), "To serve at least one request"),
        (("--long-prefill-token-threshold", "999999"), "cannot be greater than the max_model_len"),
        (("--max-num-active-seqs", "5000"), "must be 1 or more"),
        (("--block-size", "0", "--num-gpu-blocks-override", "-1"), "must be positive"),
    ],
)
def test_an_impossible_configuration_stops_the_engine(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        settings(*words)


def test_a_model_that_is_too_big_runs_out_of_memory() -> None:
    with pytest.raises(StartupError, match="CUDA out of memory"):
        settings(product="Tesla-T4")


def test_two_gpus_halve_the_weights() -> None:
    assert settings("-tp", "2", gpus=2).kv.blocks > 2 * settings().kv.blocks


def test_a_config_json_gives_the_shape() -> None:
    config = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 100,
        "max_position_embeddings": 512,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
        "quantization_config": {"quant_method": "awq", "bits": 4},
    }
    shape = geometry_of(config)
    assert (shape.head_size, shape.max_length_tokens, shape.weight_bytes_each) == (16, 1024, 0.56)
    # 2 layers x (64 x 16 x 2 x (4 + 2) attention + 3 x 64 x 128 feed-forward) + 2 x 100 x 64 embeddings
    assert shape.parameters() == 2 * (12288 + 24576) + 12800
    assert geometry_of({**config, "quantization_config": None}, "fp8").weight_bytes_each == 1.0


def test_experts_count_in_memory_but_not_in_one_tokens_work() -> None:
    config = {
        "text_config": {
            "num_hidden_layers": 1,
            "hidden_size": 8,
            "num_attention_heads": 1,
            "vocab_size": 10,
            "num_experts": 4,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 16,
        },
    }
    shape = geometry_of(config)
    # one expert has 3 x 8 x 16 = 384 weights
    assert shape.parameters() - shape.parameters(active=True) == 3 * 384 + 80


def test_the_built_in_models_have_their_published_size() -> None:
    assert LLAMA_3_1_8B.parameters() / 1e9 == pytest.approx(8.03, abs=0.01)
    assert BUILT_IN["meta-llama/llama-3.1-70b-instruct"].parameters() / 1e9 == pytest.approx(70.6, abs=0.1)
    assert QWEN3_8B.parameters() / 1e9 == pytest.approx(8.19, abs=0.01)
