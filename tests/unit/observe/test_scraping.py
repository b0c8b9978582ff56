"""Measuring without a Prometheus."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.readings import Readings
from inferplan.observe.engine_pages import PageError
from inferplan.observe.meter import Wanted
from inferplan.observe.metric_names import metric_names
from inferplan.observe.scrape import Scrape
from inferplan.observe.scraping import FIRST_PAGES, PODS_MAX, ScrapeMeter, kept_pages
from inferplan.observe.target import Pod

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def page(running: float, finished: float, model: str = "m") -> str:
    labels = f'{{engine="0",model_name="{model}"}}'
    return (
        f"vllm:num_requests_running{labels} {running}\n"
        f"vllm:num_requests_waiting{labels} 0\n"
        f'vllm:request_success_total{{engine="0",finished_reason="stop",model_name="{model}"}} {finished}\n'
        "process_start_time_seconds 1000\n"
    )


def pods(count: int) -> tuple[Pod, ...]:
    return tuple(Pod(f"llama-{n}", f"uid-{n}", f"10.0.0.{n}", "node", None) for n in range(count))


def wanted(after_seconds: float = 0.0, count: int = 1) -> Wanted:
    return Wanted(
        namespace="serving",
        selector={},
        workload=None,
        pods=pods(count),
        engine=Engine.VLLM,
        names=metric_names(Engine.VLLM, "0.33.0"),
        model_names=frozenset({"m"}),
        window_seconds=600,
        port=8000,
        now=NOON + timedelta(seconds=after_seconds),
    )


@dataclass
class FakePages:
    """Pages by address; one that is not here cannot be read."""

    texts: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def page(self, address: str, port: int) -> str:
        self.asked.append((address, port))
        if address not in self.texts:
            raise PageError("/metrics cannot be read: Connection refused")
        return self.texts[address]


def read(found: Readings | Missing) -> Readings:
    assert isinstance(found, Readings), found
    return found


def why(found: object) -> Missing:
    assert isinstance(found, Missing), found
    return found


async def test_the_first_pages_alone_say_nothing_of_a_load() -> None:
    meter = ScrapeMeter(FakePages({"10.0.0.0": page(3, 100)}))
    assert await meter.readings(wanted()) is FIRST_PAGES


async def test_a_second_page_gives_rates_between_the_two() -> None:
    pages = FakePages({"10.0.0.0": page(3, 100)})
    meter = ScrapeMeter(pages)
    await meter.readings(wanted())
    pages.texts["10.0.0.0"] = page(5, 160)
    readings = read(await meter.readings(wanted(60)))
    (replica,) = readings.replicas
    assert replica.name == "llama-0"
    assert replica.seconds == 60
    assert meter.least_seconds <= 60
    assert sum(replica.split("requests").values()) + replica.rates.get("requests", 0.0) > 0
    assert replica.gauges["running"].mean == 4
    assert replica.gauges["running"].peak == 5
    assert readings.window_seconds == 600


async def test_a_pod_without_a_page_is_left_out_and_told() -> None:
    meter = ScrapeMeter(FakePages({"10.0.0.1": page(3, 100)}))
    await meter.readings(wanted(count=2))
    readings = read(await meter.readings(wanted(60, count=2)))
    assert [replica.name for replica in readings.replicas] == ["llama-1"]
    assert readings.notes == ("pod llama-0: /metrics cannot be read: Connection refused",)


async def test_no_page_at_all_is_missing_with_its_cause() -> None:
    missing = why(await ScrapeMeter(FakePages()).readings(wanted()))
    assert missing.code is Reason.METRICS_MISSING
    assert missing.reason.endswith("pod llama-0: /metrics cannot be read: Connection refused")


async def test_a_page_that_is_none_is_missing_with_its_cause() -> None:
    missing = why(await ScrapeMeter(FakePages({"10.0.0.0": "<html>\n"})).readings(wanted()))
    assert "not a page in the Prometheus text format" in missing.reason


async def test_a_page_that_is_cut_off_does_not_count() -> None:
    pages = FakePages({"10.0.0.0": page(3, 100), "10.0.0.1": page(3, 100)})
    meter = ScrapeMeter(pages)
    await meter.readings(wanted(count=2))
    pages.texts["10.0.0.1"] = page(9, 900) + "# HELP vllm:num"
    readings = read(await meter.readings(wanted(60, count=2)))
    assert [replica.name for replica in readings.replicas] == ["llama-0"]
    assert readings.notes == ("pod llama-1: its /metrics page is cut off: it ends inside of a comment",)


async def test_two_models_on_a_page_are_told_apart_or_refused() -> None:
    both = page(3, 100, "m") + page(9, 100, "other")
    meter = ScrapeMeter(FakePages({"10.0.0.0": both}))
    await meter.readings(wanted())
    (replica,) = read(await meter.readings(wanted(60))).replicas
    assert replica.gauges["running"].mean == 3
    missing = why(await meter.readings(replace(wanted(120), model_names=None)))
    assert missing.code is Reason.METRICS_CONTRADICTORY


async def test_of_very_many_pods_some_are_asked_and_the_rest_is_told() -> None:
    pages = FakePages({f"10.0.0.{n}": page(3, 100) for n in range(PODS_MAX + 2)})
    meter = ScrapeMeter(pages)
    await meter.readings(wanted(count=PODS_MAX + 2))
    readings = read(await meter.readings(wanted(60, count=PODS_MAX + 2)))
    assert len(readings.replicas) == len(pages.asked) / 2 == PODS_MAX
    assert readings.notes == ("2 more pods were not asked",)


async def test_there_are_no_hours_before() -> None:
    assert why(await ScrapeMeter(FakePages()).history(wanted())).code is Reason.METRICS_MISSING


async def test_pods_that_nobody_asks_for_are_forgotten_after_a_day() -> None:
    meter = ScrapeMeter(FakePages({"10.0.0.0": page(3, 100)}))
    await meter.readings(wanted())
    await meter.readings(replace(wanted(86_000), pods=()))
    assert list(meter._kept) == ["uid-0"]
    await meter.readings(replace(wanted(86_500), pods=()))
    assert list(meter._kept) == []


def at(*seconds: float) -> tuple[Scrape, ...]:
    return tuple(Scrape((), second) for second in seconds)


def test_pages_are_kept_an_eighth_of_the_window_apart_and_the_newest_always() -> None:
    assert kept_pages(at(0, 5, 15, 80, 160), 600) == at(0, 80, 160)  # 75 s apart at least
    assert kept_pages(at(0, 100, 610), 600) == at(100, 610)
    assert kept_pages(at(0), 600) == at(0)
    assert kept_pages(at(700, 650), 600) == at(650)  # the clock went back
