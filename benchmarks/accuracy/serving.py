"""The rows of serving_measurements.csv as measurements: each once, with what really ran.

The file is NVIDIA's silicon_sample.csv (aiconfigurator 0.12.0, Apache-2.0), most of it copied from InferenceMAX
(github.com/SemiAnalysisAI/InferenceX). It is not one measurement a row. What was found, and what is done about it
(counts are printed by `python benchmarks/accuracy/run.py`, and were 1,251 rows -> 898 measurements, 795 of them
unmarked, when this was written):

1. The same run appears up to four times, in several exports and under several labels (TTFT and TPOT equal to 0.1 %).
   One is kept. The labels of expert and data parallelism were multiplied in some exports: "tp 16, moe_tp 4, moe_ep 4"
   (SGLang) and "tp 4, attention_dp 4, moe_ep 16, batch 16" (vLLM) are one run on 4 GPUs with TP 4, EP 4 at
   concurrency 64, which another export of the same numbers, the row's own id (`_tp4_ep4_`) and InferenceMAX's
   configuration say. So "tp 64, moe_tp 8, moe_ep 8" is 8 GPUs, and Qwen3.5's "tp 4, moe_tp 2, moe_ep 2" is 2.
2. `batch_size` is concurrency divided by the wrong attention_dp: `silicon_concurrency` is what the client held.
3. Expert parallelism is what the start script did, not the label: kimik2.5_fp4_b200.sh had no such flag, and
   minimaxm2.5_fp8_h200.sh switched it on for every run from March 2026. Config 727 of MiniMax ran attention data
   parallel (nvidia-master.yaml of 2026-04-21); 827 was labelled so, but its script ignored the label.
4. Runs with MTP (speculative decoding) are not labelled as such. Qwen3.5 fp8 on SGLang 0.5.9 with TP 4 and EP 1 was
   only ever run with MTP (image v0.5.9-cu130, configuration qwen3.5-fp8-b200-sglang-mtp, later also on B300).
   DeepSeek-R1 fp8 on SGLang 0.5.9, TP 8, was run with and without: where two runs share an operating point the faster
   TPOT is MTP's; without MTP the configuration ends at concurrency 64 (for 8192 in, at 4). Marked `speculation`.
5. DeepSeek-R1 of November 2025 was measured without a warm-up (it came on 2026-01-21): a TTFT above 1.5 s, most are
   5 to 12, holds compilation in the first wave. Marked `warm_up`.
6. Where the KV cache or max_num_seqs is full, TTFT is queueing: it more than triples from one concurrency to the next
   (at most doubled) and exceeds 1.5 s. Marked `queue`.
7. Two runs of one deployment at one operating point whose TPOT differs by more than half: the slower is marked
   `outlier`.

Marked rows are scored, and the score without them is told as well. InferenceMAX's client (utils/bench_serving) holds
`concurrency` requests in flight until ten times as many are done, all first ones at once, lengths uniform from 80 to
100 % of the nominal; TTFT is the mean (5 s at concurrency 4 without a warm-up cannot be a median).
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MARKS = ("speculation", "warm_up", "queue", "outlier")
_SAME = 1e-3  # one export rounds to a tenth of a millisecond
_QUEUE_GROWTH, _QUEUE_MILLISECONDS = 3.0, 1500.0
_WARM_UP_MILLISECONDS = 1500.0
_OUTLIER = 1.5
_IN_ID = re.compile(r"_tp(\d+)(?:_0)?_ep(\d+|none)_")
_CONCURRENCY = re.compile(r"silicon_concurrency=(\d+)")
_MEASURED = re.compile(r"measured=(\d{4}-\d{2}-\d{2})")
_CONFIGURATION = re.compile(r"config_id=(\d+)")
_IMAGE = re.compile(r"(?:image=|; )((?:vllm|lmsysorg)/\S+)")
_DATA_PARALLEL = {"727"}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        key: The id of the row that was kept.
        model: Model id as the file has it.
        gpu: GPU as the file has it (h200_sxm).
        gpus: GPUs that one replica used.
        tensor_parallel: Tensor parallel degree of attention.
        data_parallel: Attention data parallel ranks, 1 without.
        expert_parallel: Expert parallel degree, 1 without.
        engine: vllm or sglang.
        version: As the file has it; "" where it does not say.
        image: Container image where it is said.
        precision: fp8, fp4, int4 or bf16.
        input_tokens: Nominal prompt length; InferenceMAX draws uniformly from 80 to 100 % of it.
        output_tokens: Nominal output length, drawn the same way.
        concurrency: Requests in flight, held by the client.
        ttft: Milliseconds.
        tpot: Milliseconds.
        measured: Date, "" where it is not said.
        source: The export that it was kept from.
        copies: How many rows of the file it stands for.
        marks: What makes it no plain measurement, see MARKS.
    """

    key: str
    model: str
    gpu: str
    gpus: int
    tensor_parallel: int
    data_parallel: int
    expert_parallel: int
    engine: str
    version: str
    image: str
    precision: str
    input_tokens: int
    output_tokens: int
    concurrency: int
    ttft: float
    tpot: float
    measured: str
    source: str
    copies: int = 1
    marks: tuple[str, ...] = ()

    @property
    def deployment(self) -> str:
        """What stays the same while the load changes."""
        layout = f"tp{self.tensor_parallel}-dp{self.data_parallel}-ep{self.expert_parallel}"
        speculation = "-mtp" if "speculation" in self.marks else ""
        engine = f"{self.engine}-{self.image or self.version or self.measured[:7] or 'unknown'}"
        return f"{self.model} {self.gpu} {self.precision} {layout}{speculation} {engine}"

    @property
    def point(self) -> tuple[int, int, int]:
        """The operating point: input tokens, output tokens, concurrency."""
        return self.input_tokens, self.output_tokens, self.concurrency


def read_rows(path: Path) -> list[Row]:
    """The measurements of the file, each once, marked."""
    with path.open(newline="") as file:
        return cleaned(csv.DictReader(file))


def cleaned(records: Iterable[Mapping[str, str]]) -> list[Row]:
    """The measurements among records of the file's form, each once, marked."""
    rows = deduplicated([row_of(record) for record in records])
    return _with_queues(_with_outliers(_with_warm_ups(_with_speculation(rows))))


def row_of(record: Mapping[str, str]) -> Row:
    """One record, with what really ran instead of the labels (rules 1 to 3)."""
    source, said = record["silicon_data_source"], record["id"]
    tensor, data, expert = _layout(record)
    return Row(
        key=said,
        model=record["model_path"],
        gpu=record["system"],
        gpus=tensor * data,
        tensor_parallel=tensor,
        data_parallel=data,
        expert_parallel=expert,
        engine=record["backend"],
        version=record["backend_version"],
        image=_found(_IMAGE, source),
        precision=record["precision"],
        input_tokens=int(record["isl"]),
        output_tokens=int(record["osl"]),
        concurrency=int(_found(_CONCURRENCY, source) or record["batch_size"]),
        ttft=float(record["silicon_ttft_ms"]),
        tpot=float(record["silicon_tpot_ms"]),
        measured=_found(_MEASURED, source),
        source=source.split(";")[0].rsplit("/", 1)[-1],
    )


def deduplicated(rows: Iterable[Row]) -> list[Row]:
    """Rows with equal measurements at one operating point are one; the one that says most about itself is kept."""
    points: dict[tuple[object, ...], list[list[Row]]] = defaultdict(list)
    for row in rows:
        clusters = points[row.model, row.gpu, row.engine, row.precision, row.point]
        same = next((cluster for cluster in clusters if _same(cluster[0], row)), None)
        if same is None:
            clusters.append([row])
        else:
            same.append(row)
    return [_kept(cluster) for clusters in points.values() for cluster in clusters]


def _kept(cluster: list[Row]) -> Row:
    best = max(cluster, key=lambda row: (bool(row.image), bool(row.version), row.measured, row.key))
    return replace(best, copies=len(cluster))


def _same(one: Row, other: Row) -> bool:
    pairs = ((one.ttft, other.ttft), (one.tpot, other.tpot))
    return all(abs(a - b) <= _SAME * max(a, b) for a, b in pairs)


def _layout(record: Mapping[str, str]) -> tuple[int, int, int]:
    """Tensor, data and expert parallel degree of one replica."""
    said = _IN_ID.search(record["id"])
    labelled = [int(record[name] or 1) for name in ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")]
    if said is not None:
        tensor, expert = int(said[1]), 1 if said[2] == "none" else int(said[2])
    else:
        tensor, expert = _unmultiplied(*labelled)
    if _found(_CONFIGURATION, record["silicon_data_source"]) in _DATA_PARALLEL:
        return 1, tensor, tensor
    return tensor, 1, _expert_parallel(record, tensor, expert)


def _unmultiplied(tensor: int, attention: int, moe_tensor: int, moe_expert: int) -> tuple[int, int]:
    """Tensor and expert parallel degree behind the labels of the database export (rule 1)."""
    if moe_expert > 1 and attention == tensor and moe_expert == tensor * attention:
        return tensor, tensor
    if moe_expert > 1 and moe_tensor == moe_expert and tensor == moe_tensor * moe_expert:
        return moe_tensor, moe_expert
    return tensor, moe_expert


def _expert_parallel(record: Mapping[str, str], tensor: int, expert: int) -> int:
    """What the start script did (rule 3)."""
    who = (record["model_path"], record["system"], record["precision"])
    if who == ("moonshotai/Kimi-K2.5", "b200_sxm", "fp4"):
        return 1
    if who == ("MiniMaxAI/MiniMax-M2.5", "h200_sxm", "fp8") and record["backend_version"] == "0.18.0":
        return tensor
    return expert


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].rstrip(";") if found else ""


def _marked(row: Row, mark: str, so: bool) -> Row:
    return replace(row, marks=(*row.marks, mark)) if so else row


def _with_speculation(rows: list[Row]) -> list[Row]:
    """Rule 4."""
    slowest: dict[tuple[object, ...], float] = defaultdict(float)
    for row in filter(_deepseek_with_and_without, rows):
        slowest[row.point] = max(slowest[row.point], row.tpot)
    return [_marked(row, "speculation", _speculates(row, slowest.get(row.point, 0.0))) for row in rows]


def _deepseek_with_and_without(row: Row) -> bool:
    what = (row.model, row.gpu, row.precision, row.version, row.tensor_parallel, row.expert_parallel)
    return what == ("deepseek-ai/DeepSeek-R1", "b200_sxm", "fp8", "0.5.9", 8, 1)


def _speculates(row: Row, slowest: float) -> bool:
    if row.model == "Qwen/Qwen3.5-397B-A17B" and row.precision == "fp8" and row.version == "0.5.9":
        return (row.tensor_parallel, row.expert_parallel) == (4, 1)
    if not _deepseek_with_and_without(row):
        return False
    last_without = 4 if row.input_tokens > row.output_tokens else 64
    return row.concurrency > last_without or row.tpot < slowest


def _with_warm_ups(rows: list[Row]) -> list[Row]:
    """Rule 5."""
    return [_marked(row, "warm_up", _compiled_while_measured(row)) for row in rows]


def _compiled_while_measured(row: Row) -> bool:
    cold = row.model == "deepseek-ai/DeepSeek-R1" and row.measured.startswith("2025-11")
    return cold and row.ttft > _WARM_UP_MILLISECONDS


def _with_outliers(rows: list[Row]) -> list[Row]:
    """Rule 7."""
    fastest: dict[tuple[object, ...], float] = {}
    for row in rows:
        place = (row.deployment, row.point)
        fastest[place] = min(fastest.get(place, row.tpot), row.tpot)
    return [_marked(row, "outlier", row.tpot > _OUTLIER * fastest[row.deployment, row.point]) for row in rows]


def _with_queues(rows: list[Row]) -> list[Row]:
    """Rule 6, for each deployment and pair of lengths in the order of concurrency."""
    lines: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        lines[row.deployment, row.input_tokens, row.output_tokens].append(row)
    queueing = {row.key for line in lines.values() for row in _queueing(line)}
    return [_marked(row, "queue", row.key in queueing) for row in rows]


def _queueing(line: list[Row]) -> list[Row]:
    found: list[Row] = []
    calm: dict[int, float] = {}
    for row in sorted(line, key=lambda row: row.concurrency):
        if set(row.marks) & {"warm_up", "outlier"}:
            continue
        below = [c for c in calm if c < row.concurrency]
        before = calm[max(below)] if below else None
        after_another = bool(found) and row.concurrency > found[0].concurrency
        if after_another or (before and row.ttft > max(_QUEUE_MILLISECONDS, _QUEUE_GROWTH * before)):
            found.append(row)
        else:
            calm[row.concurrency] = min(row.ttft, calm.get(row.concurrency, row.ttft))
    return found
