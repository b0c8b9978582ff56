"""What is run: an engine's arguments, its load, the owner's spec, and which settings a good plan may move."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inferplan_lab.load import Plan

HERE = Path(__file__).resolve().parent
NOWHERE = ("http://127.0.0.1",)
"""A load's target until the server's port is known."""
GUARDED = {
    "throughput": ("output_tokens_per_second",),
    "balanced": ("output_tokens_per_second", "e2e_mean"),
    "latency": ("e2e_mean",),
}
"""What must not get worse, by spec.objective. Where requests come at a rate, throughput is that rate and the time of a
whole request tells; where clients wait for their answers, it is clients over throughput, and both tell the same."""


@dataclass(frozen=True)
class Case:
    """One configuration under one load.

    Attributes:
        name: of the case, the workload and the instance.
        why: what is wrong with it, or why nothing is.
        model: id of the bundled catalogue, or the folder of the model.
        args: the engine's arguments after the model.
        load: requests, or None where none come.
        spec: further fields of the InferenceInstance's spec.
        levers: settings of which a right plan moves one at least; none where nothing may be proposed.
        gpu: label nvidia.com/gpu.product, or None without a GPU.
        gpus: GPUs of the container.
        version: of vLLM, for the simulator.
        advice: a word that the plan's alternatives must have; None where none is expected.
        abstains: code with which the plan must say that it cannot tell; None where none is expected.
        guarded: measures that must not get worse.
        better: arguments that, added, mend the case, as found by hand; none where nothing is wrong.
        environment: of the real engine; an empty text takes a variable away.
    """

    name: str
    why: str
    model: str
    args: tuple[str, ...]
    load: Plan | None
    spec: Mapping[str, Any]
    levers: tuple[str, ...]
    gpu: str | None = None
    gpus: int = 1
    version: str = "0.33.0"
    advice: str | None = None
    abstains: str | None = None
    guarded: tuple[str, ...] = ()
    better: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def load_of(fields: Mapping[str, Any] | None) -> Plan | None:
    """A load from {clients or rate, input, output, spread, shared}; lengths are means in tokens."""
    if fields is None:
        return None
    return Plan(
        targets=NOWHERE,
        concurrency=fields.get("clients"),
        rate_per_second=fields.get("rate"),
        input_tokens=fields["input"],
        output_tokens=fields["output"],
        spread=fields.get("spread", 0.5),
        shared_prefix=fields.get("shared", 0.0),
        seed=fields.get("seed", 1),
    )


def case_of(fields: Mapping[str, Any], common: Mapping[str, Any]) -> Case:
    """A case from its row; what the row leaves out is in common."""
    row = {**common, **fields}
    spec = row.get("spec", {})
    return Case(
        name=row["name"],
        why=row["why"],
        model=row["model"],
        args=tuple(shlex.split(f"{row.get('before', '')} {row['args']}")),
        load=load_of(row["load"]),
        spec=spec,
        levers=tuple(row["levers"]),
        gpu=row.get("gpu"),
        gpus=row.get("gpus", 1),
        version=row.get("version", "0.33.0"),
        advice=row.get("advice"),
        abstains=row.get("abstains"),
        guarded=tuple(row.get("guarded", GUARDED[spec.get("objective", "balanced")])),
        better=tuple(shlex.split(row.get("better", ""))),
        environment=row.get("environment", {}),
    )


def read_cases(name: str) -> tuple[Case, ...]:
    """The cases of a file in this folder.

    Args:
        name: simulator, cpu or gpu.

    Returns:
        In the file's order.
    """
    document = yaml.safe_load((HERE / f"{name}.yaml").read_text("utf-8"))
    return tuple(case_of(row, document["common"]) for row in document["cases"])
