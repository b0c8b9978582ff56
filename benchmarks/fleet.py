"""A whole fleet read from the real Prometheus: queries, seconds, bytes and memory of one cycle.

    PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/fleet.py [INSTANCES] [REPLICAS] [WINDOW] [CYCLES]

500 Deployments of three vLLM 0.33 servers each by default. One process serves their pages, which are a page of the real
vLLM with every counter moving at a speed of its own pod; Prometheus scrapes all of them every 30 s until the window is
full. A cycle is what the operator does: the fleet's queries, then each instance's part of the answers and its
reduction. Cycles are measured in a process of its own, whose memory before and after is told (VmRSS, VmHWM of /proc).
Raw results go to results/fleet.json.
"""

import asyncio
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.real_prometheus import prometheus, serving_pages, target

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.observe.fleet import FleetReader, PodIdentity, Snapshot
from inferplan.observe.fleet_part import Asked
from inferplan.observe.fleet_queries import ON_DEMAND
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus import Watch
from inferplan.observe.prometheus_session import open_prometheus
from inferplan.observe.reduce import reduce
from inferplan.observe.series_labels import KUBERNETES_LABELS
from inferplan.settings import PrometheusSource

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "fleet.json"
PAGES = ROOT / "tests" / "scrapes" / "healthy-open-loop"
SCRAPE_SECONDS = 30
NAMESPACES = 10
KINDS = 50
"""Pods of the same kind have the same page: making 1,500 different ones takes more than scraping them."""

EVERY_BUCKET_CYCLES = 2

_SAMPLE = re.compile(r"(\S+) (\S+)\Z")
_COUNTED = ("_bucket", "_sum", "_count", "_total")
_SLOS = (
    SLO(metric=SLOMetric.TTFT, percentile=95, target_milliseconds=500),
    SLO(metric=SLOMetric.ITL, percentile=99, target_milliseconds=50),
)


class Pages:
    """Two pages of one server, half a minute apart, drawn out into the future: each counter goes on at its speed."""

    def __init__(self) -> None:
        first, second = (self._read((PAGES / f"{number}.txt").read_text("utf-8")) for number in (1, 2))
        self._lines = [
            (series, value, max(0.0, value - first.get(series, value)) if self._counts(series) else None)
            for series, value in second.items()
        ]
        self._started = time.time()
        self._made: dict[tuple[int, int], str] = {}

    @staticmethod
    def _read(text: str) -> dict[str, float]:
        found = (_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
        return {match[1]: float(match[2]) for match in found if match is not None}

    @staticmethod
    def _counts(series: str) -> bool:
        return series.partition("{")[0].endswith(_COUNTED)

    def page(self, path: str) -> str | None:
        """The page of a kind of pod, now."""
        kind = int(path.rpartition("/")[2])
        second = int(time.time() - self._started) // 5 * 5
        if (kind, second) not in self._made:
            self._made = {key: page for key, page in self._made.items() if key[1] >= second - 5}
            self._made[kind, second] = self._make(kind, second)
        return self._made[kind, second]

    def _make(self, kind: int, second: int) -> str:
        speed = (0.5 + kind / KINDS) * second / 30
        wave = 1 + 0.3 * ((second // 5 + kind) % 7) / 7
        moved = (
            value + rise * speed if rise is not None else value * wave if series.startswith("vllm:num_req") else value
            for series, value, rise in self._lines
        )
        return "".join(f"{line[0]} {value:.10g}\n" for line, value in zip(self._lines, moved, strict=True))


def pod(instance: int, replica: int) -> tuple[str, str, str]:
    """Namespace, name, address."""
    number = instance * 97 + replica
    name = f"llm-{instance:04d}-7d9f5c8b6d-{'bcdfghjklm'[replica]}2x9p"
    return f"team-{instance % NAMESPACES}", name, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def exporter(addresses: "multiprocessing.Queue[str]") -> None:
    pages = Pages()
    with serving_pages(pages.page) as address:
        addresses.put(address)
        time.sleep(1e6)


def configuration(address: str, instances: int, replicas: int) -> dict[str, Any]:
    pods = [pod(instance, replica) for instance in range(instances) for replica in range(replicas)]
    targets = [
        target(address, f"/{at % KINDS}", namespace=namespace, pod=name, instance=f"{ip}:8000", job="vllm")
        for at, (namespace, name, ip) in enumerate(pods)
    ]
    interval = f"{SCRAPE_SECONDS}s"
    timing = {"scrape_interval": interval, "scrape_timeout": interval}
    return {"global": timing, "scrape_configs": [{"job_name": "vllm", "static_configs": targets}]}


def value_of(url: str, query: str) -> float:
    data = urllib.parse.urlencode({"query": query}).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query", data=data, timeout=60) as answer:  # noqa: S310  ours
            result = json.loads(answer.read())["data"]["result"]
    except OSError:
        return 0.0
    return float(result[0]["value"][1]) if result else 0.0


def memory_mib() -> tuple[float, float]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    rss, peak = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return round(rss, 1), round(peak, 1)


def parts(snapshot: Snapshot, instances: int, replicas: int) -> int:
    """Every instance's readings and measurements; how many there are."""
    names = metric_names(Engine.VLLM, "0.33.0")
    measured = 0
    for instance in range(instances):
        pods = [pod(instance, replica) for replica in range(replicas)]
        own = tuple(PodIdentity(name, address) for _, name, address in pods)
        readings = snapshot.readings(Asked(pods[0][0], {}, own, None, names.running))
        if isinstance(readings, Missing):
            raise SystemExit(f"instance {instance}: {readings.reason}")
        found = reduce(readings, names, _SLOS)
        if found.problem is not None or found.replicas != replicas:
            raise SystemExit(f"instance {instance}: {found.problem}, {found.replicas} replicas")
        measured += len(found.metrics.measured())
    return measured


async def cycles(url: str, instances: int, replicas: int, window: int, count: int) -> dict[str, Any]:
    """Cycles with the buckets that are always read, then two with all that targets can ask for."""
    sizes: list[tuple[float, int]] = []
    watch = Watch(time.monotonic, random.uniform, lambda _result, seconds, size: sizes.append((seconds, size)))
    found = []
    before = memory_mib()
    async with AsyncExitStack() as stack:
        client = await open_prometheus(stack, "bench", PrometheusSource(url=url, timeout_seconds=60), watch)
        reader = FleetReader(client, KUBERNETES_LABELS, lambda: datetime.now(UTC), time.monotonic, 0.0)
        for at in range(count + EVERY_BUCKET_CYCLES):
            histograms = frozenset(ON_DEMAND) if at >= count else frozenset[str]()
            sizes.clear()
            started, cpu = time.perf_counter(), time.process_time()
            snapshot = await reader.read(window, histograms=histograms)
            read = time.perf_counter()
            measured = parts(snapshot, instances, replicas)
            done = time.perf_counter()
            found.append(
                {
                    "every_bucket": bool(histograms),
                    "queries": len(sizes),
                    "seconds": round(done - started, 2),
                    "read_seconds": round(read - started, 2),
                    "parts_seconds": round(done - read, 2),
                    "own_cpu_seconds": round(time.process_time() - cpu, 2),
                    "mib": round(sum(size for _, size in sizes) / 2**20, 1),
                    "largest_mib": round(max(size for _, size in sizes) / 2**20, 1),
                    "slowest_query_seconds": round(max(seconds for seconds, _ in sizes), 2),
                    "measurements": measured,
                    "load_of_machine": round(os.getloadavg()[0], 1),
                }
            )
            print(found[-1], flush=True)
            await asyncio.sleep(2)
    after = memory_mib()
    memory = {"before_mib": before[0], "after_mib": after[0], "peak_added_mib": round(after[1] - before[0], 1)}
    return {"cycles": found, "memory": memory}


def measure(results: "multiprocessing.Queue[dict[str, Any]]", url: str, *size: int) -> None:
    results.put(asyncio.run(cycles(url, *size)))


def main() -> None:
    instances, replicas, window, count = (
        int(text) for text in [*sys.argv[1:], *("500", "3", "900", "7")[len(sys.argv) - 1 :]]
    )
    spawn = multiprocessing.get_context("spawn")
    addresses: multiprocessing.Queue[str] = spawn.Queue()
    serving = spawn.Process(target=exporter, args=(addresses,), daemon=True)
    serving.start()
    address = addresses.get(timeout=60)
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus(Path(folder), configuration(address, instances, replicas)) as url,
    ):
        pods = instances * replicas
        started = time.monotonic()
        full = f"sum(count_over_time(vllm:num_requests_running[{window}s])) / {pods} * {SCRAPE_SECONDS}"
        while value_of(url, full) < 0.95 * window:
            time.sleep(10)
            print(f"{time.monotonic() - started:.0f} s: {value_of(url, full):.0f} s of data", flush=True)
        results: multiprocessing.Queue[dict[str, Any]] = spawn.Queue()
        measuring = spawn.Process(target=measure, args=(results, url, instances, replicas, window, count))
        measuring.start()
        found = results.get(timeout=1800)
        measuring.join()
        series = value_of(url, "prometheus_tsdb_head_series") or value_of(url, 'count({job="vllm"})')
    serving.kill()
    seconds = sorted(cycle["seconds"] for cycle in found["cycles"] if not cycle["every_bucket"])
    told = {
        "instances": instances,
        "replicas": replicas,
        "window_seconds": window,
        "scrape_seconds": SCRAPE_SECONDS,
        "series": int(series),
        "cores": os.cpu_count(),
        "seconds_p50": seconds[len(seconds) // 2],
        "seconds_max": seconds[-1],
        **found,
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
