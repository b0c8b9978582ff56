"""Rows of the form of serving_measurements.csv: one measurement each, with what really ran."""

import pytest
from benchmarks.accuracy.serving import Row, cleaned, row_of

_RECORD = {
    "id": "model_h200_vllm_fp8_agg_1024x1024_c4_cfg1",
    "silicon_data_source": "db-dump/2026-04-27; config_id=1; silicon_concurrency=4; "
    "measured=2026-03-01T00:00:00.000Z; workflow_run_id=305; vllm/vllm-openai:v0.16.0",
    "backend": "vllm",
    "backend_version": "0.16.0",
    "model_path": "org/model",
    "system": "h200_sxm",
    "precision": "fp8",
    "isl": "1024",
    "osl": "1024",
    "batch_size": "4",
    "tp_size": "4",
    "attention_dp_size": "1",
    "moe_tp_size": "4",
    "moe_ep_size": "1",
    "silicon_ttft_ms": "100.0",
    "silicon_tpot_ms": "10.0",
}


def record(concurrency: int = 4, **fields: str) -> dict[str, str]:
    said = _RECORD["silicon_data_source"].replace("silicon_concurrency=4", f"silicon_concurrency={concurrency}")
    changed = {**_RECORD, "silicon_data_source": said, **fields}
    return {**changed, "id": f"{changed['id']}-{concurrency}-{changed['silicon_ttft_ms']}-{changed['tp_size']}"}


def test_a_plain_row_is_read_as_it_stands() -> None:
    row = row_of(record())
    assert (row.gpus, row.tensor_parallel, row.data_parallel, row.expert_parallel) == (4, 4, 1, 1)
    assert (row.concurrency, row.point) == (4, (1024, 1024, 4))
    assert (row.version, row.image, row.measured) == ("0.16.0", "vllm/vllm-openai:v0.16.0", "2026-03-01")


@pytest.mark.parametrize(
    ("labels", "gpus", "expert"),
    [
        # SGLang's export: tp x ep in tp_size, split in moe_tp and moe_ep
        ({"tp_size": "16", "moe_tp_size": "4", "moe_ep_size": "4"}, 4, 4),
        ({"tp_size": "64", "moe_tp_size": "8", "moe_ep_size": "8"}, 8, 8),
        ({"tp_size": "4", "moe_tp_size": "2", "moe_ep_size": "2"}, 2, 2),
        # vLLM's export: attention_dp repeats tp, moe_ep is tp x tp
        ({"tp_size": "4", "attention_dp_size": "4", "moe_tp_size": "1", "moe_ep_size": "16"}, 4, 4),
        ({"tp_size": "2", "attention_dp_size": "2", "moe_tp_size": "1", "moe_ep_size": "4"}, 2, 2),
        # labels that are right
        ({"tp_size": "4", "moe_tp_size": "1", "moe_ep_size": "4"}, 4, 4),
        ({"tp_size": "8", "moe_tp_size": "8", "moe_ep_size": "1"}, 8, 1),
    ],
)
def test_multiplied_labels_are_taken_apart(labels: dict[str, str], gpus: int, expert: int) -> None:
    row = row_of(record(**labels))
    assert (row.gpus, row.tensor_parallel, row.expert_parallel) == (gpus, gpus, expert)


def test_the_id_says_more_than_the_labels() -> None:
    fields = {"tp_size": "16", "moe_tp_size": "4", "moe_ep_size": "4", "id": "x_agg_1024x1024_c4_tp4_0_ep4_0_12"}
    assert row_of({**record(), **fields}).gpus == 4


def test_the_client_holds_more_requests_than_batch_size_says() -> None:
    assert row_of(record(concurrency=64, batch_size="16")).concurrency == 64


def test_one_run_under_two_labels_is_one_measurement() -> None:
    twice = [
        record(concurrency=64, batch_size="16", tp_size="4", attention_dp_size="4", moe_tp_size="1", moe_ep_size="16"),
        record(concurrency=64, tp_size="4", moe_tp_size="1", moe_ep_size="4", silicon_ttft_ms="100.04"),
    ]
    (row,) = cleaned(twice)
    assert row.copies == 2


def test_two_runs_at_one_operating_point_stay_two() -> None:
    assert len(cleaned([record(), record(silicon_ttft_ms="103")])) == 2


def marks(records: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return [row.marks for row in sorted(cleaned(records), key=lambda row: row.concurrency)]


def test_a_time_to_first_token_that_jumps_is_a_queue_from_there_on() -> None:
    times = {4: "300", 8: "400", 16: "2000", 32: "2100"}  # 2000 > 3 x 400 and above 1.5 s; behind it all queue
    assert marks([record(c, silicon_ttft_ms=ttft) for c, ttft in times.items()]) == [(), (), ("queue",), ("queue",)]


def test_a_short_wait_is_no_queue_however_fast_it_grows() -> None:
    times = {4: "50", 8: "400"}  # eightfold, but below 1.5 s
    assert marks([record(c, silicon_ttft_ms=ttft) for c, ttft in times.items()]) == [(), ()]


def test_the_slower_of_two_runs_that_disagree_is_an_outlier() -> None:
    found = cleaned([record(), record(silicon_ttft_ms="500", silicon_tpot_ms="40")])
    assert {row.tpot: row.marks for row in found} == {10.0: (), 40.0: ("outlier",)}


_DEEPSEEK = {
    "model_path": "deepseek-ai/DeepSeek-R1",
    "system": "b200_sxm",
    "backend": "sglang",
    "backend_version": "0.5.9",
    "tp_size": "8",
    "moe_tp_size": "8",
}


def deepseek(concurrency: int, tpot: str, **fields: str) -> dict[str, str]:
    return record(concurrency, **{**_DEEPSEEK, "silicon_ttft_ms": tpot, "silicon_tpot_ms": tpot, **fields})


def test_the_faster_of_two_runs_of_deepseek_had_mtp() -> None:
    found = cleaned([deepseek(4, "6.7"), deepseek(4, "8.8"), deepseek(128, "28.7")])
    assert {row.tpot: row.marks for row in found} == {6.7: ("speculation",), 8.8: (), 28.7: ("speculation",)}


def test_a_run_without_warm_up_holds_compilation() -> None:
    cold = _RECORD["silicon_data_source"].replace("2026-03-01", "2025-11-10")
    fields = {**_DEEPSEEK, "backend_version": "", "silicon_data_source": cold, "precision": "fp4"}
    assert marks([record(**{**fields, "silicon_ttft_ms": "5504"})]) == [("warm_up",)]
    assert marks([record(**{**fields, "silicon_ttft_ms": "388"})]) == [()]


def test_the_deployment_of_a_row_does_not_depend_on_its_load() -> None:
    rows: list[Row] = [row_of(record(4)), row_of(record(8, isl="8192"))]
    assert rows[0].deployment == rows[1].deployment
