"""How settings lay a model out over ranks, and what torch's allocator makes of a size."""

from typing import Any

import pytest
from tests.support.build import a

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.architecture import Layer, Mamba
from inferplan.domain.measurement import Missing
from inferplan.estimate.placement import Layout, Remainder, allocated, layout_for, layout_of


def test_the_allocator_keeps_a_rest_of_up_to_1_mib() -> None:
    assert allocated(33_030_144) == 32 << 20  # 31.5 MiB: the rest of half a MiB stays
    assert allocated(int(24.5 * 2**20)) == int(24.5 * 2**20)  # a rest of 1.5 MiB is given back
    assert allocated(259 << 20) == 260 << 20  # exactly 1 MiB stays
    assert allocated(1000) == 1024


@pytest.mark.parametrize(
    ("settings", "layout"),
    [
        ({}, Layout()),
        ({"tensor_parallel_size": 8}, Layout(8, expert_shards=8, towers=8)),
        ({"tensor_parallel_size": 8, "enable_expert_parallel": True}, Layout(8, expert_groups=8, towers=8)),
        ({"tensor_parallel_size": 2, "data_parallel_size": 4}, Layout(2, expert_shards=8, towers=2)),
        ({"pipeline_parallel_size": 2}, Layout(pipeline=2)),
        ({"tensor_parallel_size": 2, "mm_encoder_tp_mode": "data"}, Layout(2, expert_shards=2)),
        ({"language_model_only": True}, Layout(towers=0)),
        ({"speculative_config": '{"method": "mtp"}'}, Layout(speculation=True)),
    ],
)
def test_vllms_settings_lay_the_model_out(settings: dict[str, Any], layout: Layout) -> None:
    assert layout_of(a.config(**settings), None) == layout


@pytest.mark.parametrize(("ranks", "fits"), [(1, True), (4, True), (3, False), (64, False)])
def test_ranks_divide_the_heads_of_attention(ranks: int, *, fits: bool) -> None:
    found = layout_for(a.config(tensor_parallel_size=ranks), 90, a.model())
    if fits:
        assert found == layout_of(a.config(tensor_parallel_size=ranks), 90)
    else:
        why = f"the engine refuses tensor_parallel_size {ranks}: it does not divide the 32 attention heads"
        assert found == Missing(Reason.ENGINE_REFUSES, why)


def test_ranks_may_be_any_where_nothing_attends() -> None:
    states = a.model(layers=(Layer(Mamba(128, 64, 128, 8, 4), None),) * 4)
    assert isinstance(layout_for(a.config(tensor_parallel_size=3), 90, states), Layout)
    assert isinstance(layout_for(a.config(tensor_parallel_size=0), 90, states), Missing)


def test_older_releases_pad_and_split_in_their_own_ways() -> None:
    assert layout_of(a.config(version="0.26.0"), 100) == Layout(capability=100, blackwell_step=256)
    old = layout_of(a.config(version="0.7.3"), None)
    assert old == Layout(remainder=Remainder.ALL_LAST, blackwell_step=256)
    assert layout_of(a.config(Engine.SGLANG, "0.5.2"), None) == Layout(remainder=Remainder.ALL_LAST)
    assert layout_of(a.config(version="nightly"), None) == Layout()


def test_sglangs_expert_parallelism_splits_its_tensor_ranks() -> None:
    config = a.config(Engine.SGLANG, "0.5.23", tensor_parallel_size=8, expert_parallel_size=4)
    assert layout_of(config, 90) == Layout(8, 1, 4, 2, 90, Remainder.LAST_ONES, 8)
    attention = a.config(
        Engine.SGLANG, "0.5.23", tensor_parallel_size=8, data_parallel_size=8, enable_dp_attention=True
    )
    assert layout_of(attention, 90) == Layout(1, 1, 1, 8, 90, Remainder.LAST_ONES, 1)


@pytest.mark.parametrize("degree", [0, -1, 10**12])
def test_a_degree_out_of_range_is_named(degree: int) -> None:
    found = layout_of(a.config(tensor_parallel_size=degree), None)
    assert isinstance(found, Missing)
    assert "tensor_parallel_size" in found.reason
