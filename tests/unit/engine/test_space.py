"""All combinations of the levers' options, and which of them are one configuration."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.build import H100, a
from tests.support.levers import capped, caps, lever, option

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import OptimizationType
from inferplan.dialects.effective import effective
from inferplan.domain.lever import Lever, LimitKey
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.engine.space import COMBINATIONS_MAX, Space, Table
from inferplan.estimate.forecast import Forecast, Moves, Outlook, Place
from inferplan.estimate.forecasting import forecast_of

FORMAT = lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8")
WEIGHTS = lever(OptimizerName.QUANTIZATION, "quantization", "none", "somehow", "fp8_per_tensor")


class Told:
    """A forecast that keeps what it was asked, and has none of one configuration."""

    def __init__(self, refused: str | None = None) -> None:
        self.asked: list[tuple[Place, Moves]] = []
        self._refused = refused

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        if place.config.text("quantization") == self._refused:
            return Missing(Reason.MODEL_UNSUPPORTED, "not known")
        self.asked.append((place, moves))
        number = float(len(self.asked))
        size = max((len(values) for values in moves.values()), default=1)
        flags, values = np.ones(size, dtype=bool), np.full(size, number)
        return Outlook(
            **{name: flags if name in {"starts", "saturated"} else values for name in Outlook.__annotations__}
        )


def space(*levers: Lever, observation: Observation | None = None, forecast: Any = None) -> Space:
    seen = observation or capped()
    made = forecast or forecast_of(seen, (), queued=True)
    assert not isinstance(made, Missing)
    assert not isinstance(seen.model, Missing)
    return Space(seen, made, Place(seen.config, seen.model), levers)


def table(made: Space) -> Table:
    found = made.table()
    assert isinstance(found, Table)
    return found


def test_every_combination_has_a_row_and_the_first_stays_everywhere() -> None:
    found = table(space(caps(48, 64), FORMAT))
    rows = [tuple(row) for row in found.positions.tolist()]
    assert rows[0] == (0, 0)
    assert sorted(rows) == [(cap, one) for cap in range(3) for one in range(2)]
    assert all(len(values) == 6 for values in vars(found.outlook).values())


def test_what_only_moves_limits_is_asked_once_for_each_configuration() -> None:
    told = Told()
    tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 16_384)
    found = table(space(caps(48, 64), FORMAT, tokens, forecast=told))
    assert [place.config.text("kv_cache_dtype") for place, _ in told.asked] == ["auto", "fp8"]
    moves = told.asked[0][1]
    assert moves[LimitKey.SEQUENCES].tolist() == [32, 32, 48, 48, 64, 64]
    assert moves[LimitKey.TOKENS].tolist() == [8192, 16_384] * 3
    numbers = dict(zip(map(tuple, found.positions.tolist()), found.outlook.throughput.tolist(), strict=True))
    assert numbers[2, 0, 1] == 1.0  # today's format
    assert numbers[2, 1, 1] == 2.0


def test_limits_that_move_together_are_one_option() -> None:
    told = Told()
    both = Lever(
        OptimizerName.BATCHING,
        OptimizationType.BATCHING,
        (
            replace(
                option("max_batch_size", 32, 64),
                changes=(
                    *option("max_batch_size", 32, 64).changes,
                    *option("max_num_batched_tokens", 8192, 4096).changes,
                ),
            ),
        ),
    )
    table(space(both, forecast=told))
    ((_, moves),) = told.asked
    assert {key: values.tolist() for key, values in moves.items()} == {
        LimitKey.SEQUENCES: [32, 64],
        LimitKey.TOKENS: [8192, 4096],
    }


@pytest.mark.parametrize(
    ("levers", "drop"),
    [
        ((FORMAT,), ()),  # a format is no limit
        ((lever(OptimizerName.KV_CACHE, "max_model_len", 8192, "auto", 4096),), ()),  # no number
        ((lever(OptimizerName.BATCHING, "max_num_batched_tokens", None, 4096, 8192),), ("max_num_batched_tokens",)),
        (
            (
                Lever(
                    OptimizerName.BATCHING,
                    OptimizationType.BATCHING,
                    (option("max_batch_size", 32, 64), option("max_num_batched_tokens", 8192, 4096)),
                ),
            ),
            (),
        ),  # options of different settings
    ],
)
def test_all_else_is_a_configuration_of_its_own(levers: tuple[Lever, ...], drop: tuple[str, ...]) -> None:
    told = Told()
    table(space(*levers, observation=capped(drop=drop), forecast=told))
    assert len(told.asked) == 1 + len(levers[0].options)
    assert all(not moves for _, moves in told.asked)


def test_limits_as_an_array_give_what_each_gives_by_itself() -> None:
    found = table(space(caps(48, 64), FORMAT))
    for cap, number in ((48, 1), (64, 2)):
        alone = table(space(caps(cap), FORMAT))
        row, other = found.row((number, 1)), alone.row((1, 1))
        assert row is not None
        assert other is not None
        assert found.outlook.throughput[row] == pytest.approx(alone.outlook.throughput[other])
        assert found.outlook.ttft[row] == pytest.approx(alone.outlook.ttft[other])


def test_a_configuration_without_a_forecast_has_no_rows() -> None:
    found = table(space(WEIGHTS, caps(64), forecast=Told("somehow")))
    assert [tuple(row) for row in found.positions.tolist()] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert found.row((1, 1)) is None
    assert found.row((2, 1)) == 3


def test_without_a_forecast_of_today_there_is_no_table() -> None:
    found = space(WEIGHTS, caps(64), forecast=Told("none")).table()
    assert found == Missing(Reason.MODEL_UNSUPPORTED, "not known")


def test_no_lever_leaves_only_today() -> None:
    found = table(space())
    assert found.positions.shape == (1, 0)
    assert found.row(()) == 0


def test_a_lever_without_options_is_none() -> None:
    assert space(Lever(OptimizerName.BATCHING, OptimizationType.BATCHING, ()), caps(64)).levers == (caps(64),)


def test_the_longest_levers_lose_their_last_options_until_the_combinations_are_few_enough() -> None:
    tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, *range(8193, 8393))
    made = space(caps(*range(33, 233)), tokens, lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8"))
    sizes = [len(one.options) + 1 for one in made.levers]
    assert np.prod(sizes) <= COMBINATIONS_MAX < np.prod([sizes[0] + 1, *sizes[1:]])
    assert sizes == [100, 100, 2]
    assert [change.recommended_value for change in made.levers[0].options[-1].changes] == [131]


def test_a_combination_is_a_configuration() -> None:
    doubtful = Lever(
        OptimizerName.QUANTIZATION,
        OptimizationType.QUANTIZATION,
        (option("quantization", "none", "fp8_per_tensor", doubt=0.4),),
    )
    seen = capped()
    assert not isinstance(seen.model, Missing)
    other = replace(seen.model, vocab_size=1000)
    format_of_cache = Lever(
        OptimizerName.KV_CACHE,
        OptimizationType.KV_CACHE,
        (option("kv_cache_dtype", "auto", "fp8", doubt=0.3, card=other),),
    )
    made = space(caps(48, 64), doubtful, format_of_cache)
    place = made.place((2, 1, 1))
    assert [place.config.value(key) for key in ("max_batch_size", "quantization", "kv_cache_dtype")] == [
        64,
        "fp8_per_tensor",
        "fp8",
    ]
    assert place.card is other
    assert place.doubt == pytest.approx(0.5)  # 0.3 and 0.4, independent of one another
    stays = made.place(made.stay())
    assert stays == Place(seen.config, seen.model, 0.0)
    assert [each.parameter for each in made.changes((2, 0, 1))] == ["max_batch_size", "kv_cache_dtype"]
    assert made.chosen((0, 1, 0)) == ((doubtful, doubtful.options[0]),)


def test_forecasts_are_those_of_the_protocol() -> None:
    """The table of a real forecast: today's first, and more is served with a larger cap."""
    forecast = forecast_of(capped(), (), queued=True)
    assert not isinstance(forecast, Missing)
    checked: Forecast = forecast
    found = table(space(caps(64), forecast=checked))
    assert found.outlook.throughput[1] > found.outlook.throughput[0]


def test_limits_that_follow_from_others_move_with_them() -> None:
    """vLLM takes no more tokens a step than all sequences have together: 4 of 1,024 are 4,096."""
    told = Told()
    stated = a.config(max_batch_size=32, max_model_len=1024)
    seen = capped(config=effective(stated, H100, model=a.model()))
    few = lever(OptimizerName.BATCHING, "max_batch_size", 32, 4)
    share = lever(OptimizerName.KV_CACHE, "gpu_memory_utilization", 0.92, 0.95)
    found = table(space(few, share, observation=seen, forecast=told))
    ((_, moves),) = told.asked
    assert found.positions.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert {key: values.tolist() for key, values in moves.items()} == {
        LimitKey.SEQUENCES: [32, 32, 4, 4],
        LimitKey.TOKENS: [8192, 8192, 4096, 4096],
        LimitKey.UTILIZATION: [0.92, 0.95, 0.92, 0.95],
    }


def test_a_limit_that_moves_something_else_is_no_array() -> None:
    """V0 cuts prompts by itself where contexts are long."""
    told = Told()
    stated = a.config(version="0.6.6", max_batch_size=32, max_model_len=65_536)
    seen = capped(config=effective(stated, H100, model=a.model()))
    assert seen.config.flag("enable_chunked_prefill") is True
    table(space(lever(OptimizerName.KV_CACHE, "max_model_len", 65_536, 8192), observation=seen, forecast=told))
    assert [(place.config.flag("enable_chunked_prefill"), dict(moves)) for place, moves in told.asked] == [
        (True, {}),
        (False, {}),
    ]


def test_what_is_settled_is_in_every_combination_but_one_by_itself() -> None:
    seen = capped()
    assert not isinstance(seen.model, Missing)
    forecast: Any = Told()
    settled = option("gpu_memory_utilization", 0.92, 0.5).changes
    made = Space(seen, forecast, Place(seen.config, seen.model), (caps(64),), settled)
    assert made.place(made.stay()).config.value("gpu_memory_utilization") == 0.5
    assert made.place((1,)).config.value("gpu_memory_utilization") == 0.5
    assert made.place((1,), alone=True).config.value("gpu_memory_utilization") == 0.92
