"""The estimator as it is asked: what it answers, assumes and refuses; that better hardware is never slower."""

from dataclasses import replace

import pytest
from tests.support.build import a

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.domain.architecture import CompressedAttention, DenseMLP, Layer
from inferplan.domain.hardware import Accelerator, from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import deployment_of
from inferplan.estimate.result import Interval, Performance
from inferplan.estimate.speed import StepTimeEstimator

CLOSED = Load(32.0, None, 1024.0, 256.0)
H100 = "NVIDIA-H100-80GB-HBM3"


def asked(
    config: ServingConfig | None = None, product: str = H100, cache: float | None = 4e5, **settings: SettingValue
) -> EstimateInput:
    base: dict[str, SettingValue] = {"max_batch_size": 256, "max_num_batched_tokens": 8192}
    return EstimateInput(config or a.config(**(base | settings)), from_catalogue(product, 8), a.model(), cache)


def told(situation: EstimateInput, load: Load = CLOSED) -> Performance:
    found = StepTimeEstimator().performance(situation, load)
    assert isinstance(found, Performance)
    return found


def refused(situation: EstimateInput, load: Load = CLOSED) -> Missing:
    found = StepTimeEstimator().performance(situation, load)
    assert isinstance(found, Missing)
    return found


def itl(situation: EstimateInput, load: Load = CLOSED) -> float:
    value = told(situation, load).itl_milliseconds
    assert isinstance(value, Interval)
    return value.expected


def tokens(situation: EstimateInput, load: Load = CLOSED) -> float:
    value = told(situation, load).output_tokens_per_second
    assert isinstance(value, Interval)
    return value.expected


def test_llama_8b_on_an_h100_is_where_everybody_measures_it() -> None:
    # 16 GB at 3.35 TB/s are 4.8 ms; published runs of one sequence show 6 to 7.5 ms.
    assert 5.5 < itl(asked(), Load(1.0, None, 512.0, 512.0)) < 8.0


def test_every_value_has_its_interval() -> None:
    found = told(asked())
    for value in (found.ttft_milliseconds, found.itl_milliseconds, found.output_tokens_per_second):
        assert isinstance(value, Interval)
        assert value.low < value.expected < value.high
    assert found.source is Source.ROOFLINE
    assert not found.assumptions


def test_gpus_that_nothing_was_fitted_on_have_wider_intervals() -> None:
    widths = []
    for product in (H100, "NVIDIA-A100-SXM4-80GB"):
        value = told(asked(product=product)).itl_milliseconds
        assert isinstance(value, Interval)
        widths.append(value.high / value.low)
    assert widths[0] < widths[1]


@pytest.mark.parametrize(
    ("slower", "faster"),
    [
        ("NVIDIA-A100-SXM4-80GB", H100),
        (H100, "NVIDIA-H200"),
        ("NVIDIA-H200", "NVIDIA-B200"),
        ("NVIDIA-L4", "NVIDIA-L40S"),
    ],
)
def test_better_gpus_are_faster(slower: str, faster: str) -> None:
    assert itl(asked(product=slower)) > itl(asked(product=faster))


def test_more_ranks_are_faster_but_not_by_their_number() -> None:
    one, four = itl(asked(tensor_parallel_size=1)), itl(asked(tensor_parallel_size=4))
    assert one / 4 < four < one


def test_what_is_not_known_is_assumed_and_said() -> None:
    found = told(asked(a.config(), cache=None))
    assert len(found.assumptions) == 3
    assert "2,048" in " ".join(found.assumptions)


def test_a_name_that_fits_several_gpus_is_taken_for_the_usual_one() -> None:
    found = told(asked(product="H100 80GB"))
    assert any("fits several" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"speculative_config": '{"method": "ngram"}'}, "speculative"),
        ({"kv_cache_dtype": "octave_k3v4"}, "kv_cache_dtype"),
        ({"quantization": "something_else"}, "quantization"),
    ],
)
def test_what_has_no_basis_is_refused(settings: dict[str, SettingValue], word: str) -> None:
    assert word in refused(asked(**settings)).reason


def test_an_engine_that_is_not_modelled_is_refused() -> None:
    assert refused(asked(a.config(Engine.TGI, "3.0.0"))).code is Reason.ENGINE_END_OF_LIFE


def test_a_gpu_that_is_not_known_is_refused() -> None:
    situation = replace(asked(), accelerator=Accelerator("Nobody's GPU", 1, 81_559))
    assert refused(situation).code is Reason.ACCELERATOR_UNKNOWN


def test_a_gpu_that_others_use_too_is_refused() -> None:
    assert "shared" in refused(asked(product="NVIDIA-H100-80GB-HBM3-SHARED")).reason


def test_past_saturation_there_is_a_throughput_and_no_latency() -> None:
    found = told(asked(), Load(None, 1000.0, 1024.0, 256.0))
    assert found.saturated
    assert isinstance(found.ttft_milliseconds, Missing)
    assert found.ttft_milliseconds.code is Reason.SATURATED
    assert isinstance(found.output_tokens_per_second, Interval)


def test_a_rate_that_is_served_is_the_throughput() -> None:
    value = told(asked(), Load(None, 2.0, 1024.0, 256.0)).output_tokens_per_second
    assert value == Interval(512.0, 512.0, 512.0)


def test_a_small_cache_bounds_the_throughput() -> None:
    assert tokens(asked(cache=1e4)) < 0.6 * tokens(asked(cache=1e6))


def test_prefixes_count_only_where_they_are_cached() -> None:
    load = Load(32.0, None, 4096.0, 64.0, prefix_share=0.9)
    cached, fresh = asked(enable_prefix_caching=True), asked(enable_prefix_caching=False)
    assert tokens(cached, load) > 1.5 * tokens(fresh, load)


def test_without_graphs_small_batches_are_slower() -> None:
    load = Load(1.0, None, 128.0, 128.0)
    assert itl(asked(enforce_eager=True), load) > 1.15 * itl(asked(), load)


def test_an_fp8_cache_is_read_faster() -> None:
    load = Load(64.0, None, 16_000.0, 256.0)
    assert itl(asked(kv_cache_dtype="fp8", cache=4e6), load) < itl(asked(kv_cache_dtype="auto", cache=4e6), load)


@pytest.mark.parametrize(
    ("engine", "version", "settings", "apart", "serial"),
    [
        (Engine.VLLM, "0.33.0", {}, False, False),
        (Engine.VLLM, "0.7.3", {}, True, True),
        (Engine.VLLM, "0.7.3", {"enable_chunked_prefill": True}, False, True),
        (Engine.SGLANG, "0.5.9", {}, True, False),
        (Engine.SGLANG, "0.5.9", {"enable_mixed_chunk": True}, False, False),
    ],
)
def test_engines_prefill_and_schedule_in_their_own_way(
    engine: Engine, version: str, settings: dict[str, SettingValue], *, apart: bool, serial: bool
) -> None:
    found = deployment_of(asked(a.config(engine, version, **settings)))
    assert not isinstance(found, Missing)
    assert (found.prefill_apart, found.first_engine) == (apart, serial)


@pytest.mark.parametrize(
    ("product", "version", "first"),
    [("Tesla-T4", "0.8.4", True), ("Tesla-T4", "0.11.0", False), ("NVIDIA-L4", "0.8.4", False)],
)
def test_gpus_before_ampere_stay_with_the_first_engine(product: str, version: str, *, first: bool) -> None:
    found = deployment_of(asked(a.config(Engine.VLLM, version), product))
    assert not isinstance(found, Missing)
    assert (found.first_engine, found.attention_by_head) == (first, first)


def test_sglang_looks_for_requests_in_every_step_if_all_its_flags_are_known() -> None:
    for settings, complete, interval in (({}, False, None), ({}, True, 1), ({"scheduler_recv_interval": 10}, True, 10)):
        config = replace(a.config(Engine.SGLANG, "0.5.9", **settings), complete=complete)
        found = deployment_of(asked(config))
        assert not isinstance(found, Missing)
        assert found.receive_interval == interval


def test_attention_that_nothing_was_fitted_to_says_so_and_is_less_sure() -> None:
    mixer = CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, 128)
    known, unfitted = asked(), replace(asked(), model=a.model(layers=(Layer(mixer, DenseMLP(14336)),) * 32))
    widths = []
    for situation in (known, unfitted):
        value = told(situation).itl_milliseconds
        assert isinstance(value, Interval)
        widths.append(value.high / value.low)
    assert widths[1] == pytest.approx(widths[0] ** 1.5, rel=0.01)
    assert any("no measurement of it was at hand" in sentence for sentence in told(unfitted).assumptions)


def test_the_nearer_to_what_can_be_served_the_less_sure_latency_is() -> None:
    most = told(asked(), Load(None, 1e5, 1024.0, 256.0)).requests_per_second
    assert isinstance(most, Interval)
    calm, busy = (told(asked(), Load(None, share * most.expected, 1024.0, 256.0)) for share in (0.1, 0.9))
    for name in ("ttft_milliseconds", "itl_milliseconds"):
        few, many = (getattr(found, name) for found in (calm, busy))
        assert many.high / many.expected > 1.5 * few.high / few.expected
    rate = busy.requests_per_second
    assert isinstance(rate, Interval)
    assert rate.low < 0.98 * rate.expected == 0.98 * rate.high
    assert any("more requests arrive than are served" in note for note in busy.notes)
    assert calm.requests_per_second == Interval(0.1 * most.expected, 0.1 * most.expected, 0.1 * most.expected)


def test_flash_attention_reads_keys_once_for_all_heads_of_a_group() -> None:
    found = deployment_of(asked(a.config(Engine.VLLM, "0.7.3")))
    assert not isinstance(found, Missing)
    assert (found.first_engine, found.attention_by_head) == (True, False)


@pytest.mark.parametrize(
    ("version", "method", "own"),
    [
        ("0.20.2", "gptq", "gptq"),
        ("0.20.2", "gptq_marlin", ""),
        ("0.33.0", "gptq", ""),
        ("0.23.0", "awq", "awq"),
        (None, "awq", ""),
    ],
)
def test_a_flag_forces_awqs_and_gptqs_own_kernels(version: str | None, method: str, own: str) -> None:
    found = deployment_of(asked(a.config(Engine.VLLM, version, quantization=method)))
    assert not isinstance(found, Missing)
    assert found.plain_kernels == own


@pytest.mark.parametrize(
    ("product", "version", "own"),
    [
        ("Tesla-V100-SXM2-16GB", "0.33.0", "gptq"),
        ("Tesla-T4", "0.13.0", "gptq"),
        ("Tesla-T4", "0.14.0", ""),
        ("NVIDIA-A10", "0.8.4", ""),
        ("AMD-Instinct-MI300X", "0.33.0", "gptq"),
    ],
)
def test_marlin_is_not_written_for_every_gpu(product: str, version: str, own: str) -> None:
    found = deployment_of(asked(a.config(Engine.VLLM, version, quantization="gptq_marlin"), product))
    assert not isinstance(found, Missing)
    assert found.plain_kernels == own
