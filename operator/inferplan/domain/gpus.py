"""The catalogue of GPUs: which entries a name, a memory size or a PCI device id fits."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from inferplan.domain.gpu import GPU, Interconnect, Precision, Vendor, usable_of
from inferplan.domain.gpus_names import SpokenName, read_name
from inferplan.domain.units import MIB_PER_GIB

_LONGEST_NAME = 5  # words: "rtx 4070 ti super", "rtx 4000 sff ada"


@dataclass(frozen=True)
class Entry:
    """One row of data/gpus.csv.

    Attributes:
        gpu: What it can do.
        names: The model in one word, without brand: "h100", "rtx4090", "4090".
        gigabytes: Sizes that the market names: B200 is sold as 180 and as 192 GB.
        forms: What tells it from others of its name: sxm, pcie, nvl, server …
        device_ids: PCI device ids, hexadecimal.
    """

    gpu: GPU
    names: frozenset[str]
    gigabytes: tuple[int, ...]
    forms: frozenset[str]
    device_ids: frozenset[str]


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every GPU that is known, in the file's order: NVIDIA's data centre GPUs, workstations, GeForce, AMD."""
    text = files("inferplan.domain").joinpath("data/gpus.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(map(_entry, rows))


def by_device_id(device_id: str) -> tuple[GPU, ...]:
    """The GPU with this PCI device id; empty where none is known."""
    wanted = device_id.strip().lower().removeprefix("0x")
    return tuple(entry.gpu for entry in catalogue() if wanted in entry.device_ids)


def by_name(name: str) -> tuple[GPU, ...]:
    """Every GPU that the name fits, in any spelling; empty where none is known.

    The name as NVML, the node label or the data sheet has it is one GPU: "NVIDIA H200" is not H200 NVL. Others may
    fit several: "A100" fits four, "H100 80GB" two.
    """
    spoken = read_name(name)
    exact = [entry for entry in catalogue() if _label(entry.gpu.name) == _label(name)]
    if exact:
        return tuple(entry.gpu for entry in exact)
    entries = _of_model(spoken)
    entries = _of_form(entries, spoken.forms)
    if spoken.gigabytes is not None:
        entries = [entry for entry in entries if spoken.gigabytes in entry.gigabytes]
    return tuple(entry.gpu for entry in entries)


def gigabytes_of(gpu: GPU) -> tuple[int, ...]:
    """Sizes under which the market knows a GPU of the catalogue: (80,); empty for another one."""
    return next((entry.gigabytes for entry in catalogue() if entry.gpu == gpu), ())


def _of_model(spoken: SpokenName) -> list[Entry]:
    """Entries of the models that the words name; the longest names win: "rtx 4070 ti" is no RTX 4070."""
    known = frozenset(name for entry in catalogue() for name in entry.names)
    words, found = list(spoken.words), set[str]()
    for length in range(_LONGEST_NAME, 0, -1):
        for start in range(len(words) - length + 1):
            joined = "".join(words[start : start + length])
            if joined in known:
                found.add(joined)
                words[start : start + length] = [" "] * length
    if spoken.is_another(words):
        return []
    return [entry for entry in catalogue() if entry.names & found]


def _of_form(entries: Sequence[Entry], forms: frozenset[str]) -> list[Entry]:
    """Those of the stated form; without one, those whose own name has none ("NVIDIA H200"), else all."""
    if forms:
        fitting = [entry for entry in entries if entry.forms & forms or not (entry.forms or "maxq" in forms)]
        if "maxq" in forms:
            return fitting
        return fitting if fitting or len(entries) > 1 else list(entries)
    plain = [entry for entry in entries if _label(entry.gpu.name).replace("-", "").endswith(tuple(entry.names))]
    return plain or list(entries)


def _label(name: str) -> str:
    return "-".join(name.lower().split())


def _entry(row: Mapping[str, str]) -> Entry:
    return Entry(
        gpu=_gpu(row),
        names=frozenset(row["names"].split()),
        gigabytes=tuple(map(int, row["gigabytes"].split())),
        forms=frozenset(row["forms"].split()),
        device_ids=frozenset(row["device_ids"].split()),
    )


def _gpu(row: Mapping[str, str]) -> GPU:
    memory_mib, usable_gib, architecture = int(row["memory_mib"]), _number(row["usable_gib"]), row["architecture"]
    peaks = {precision: _number(row[precision.value]) for precision in Precision}
    units = row["multiprocessors"]
    return GPU(
        name=row["name"],
        vendor=Vendor.AMD if row["name"].startswith("AMD-") else Vendor.NVIDIA,
        memory_mib=memory_mib,
        usable_mib=round(usable_gib * MIB_PER_GIB) if usable_gib is not None else usable_of(memory_mib),
        usable_is_measured=usable_gib is not None,
        bandwidth_gb_per_second=_number(row["gb_per_second"]),
        tflops={precision: peak for precision, peak in peaks.items() if peak is not None},
        compute_capability=int(architecture) if architecture.isdecimal() else None,
        gfx=None if architecture.isdecimal() else architecture,
        interconnect=Interconnect(row["link"]) if row["link"] else None,
        interconnect_gb_per_second=_number(row["link_gb_per_second"]),
        multiprocessors=int(units) if units else None,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
