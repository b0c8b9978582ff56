"""Weights of any sensible model on any layout: what must hold whatever the numbers are."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from inferplan.domain.architecture import (
    Attention,
    DenseMLP,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    MixtureOfExperts,
)
from inferplan.domain.model_card import ModelCard
from inferplan.domain.module_patterns import read_patterns
from inferplan.domain.quantization import Quantization
from inferplan.domain.quantization_simple import FP8_PER_BLOCK, INT8_WEIGHT_ONLY, MXFP4, NF4, NVFP4
from inferplan.estimate.number_formats import WeightFormat
from inferplan.estimate.placement import Layout, Remainder, stages
from inferplan.estimate.weights import weight_table

DEGREES = st.sampled_from([1, 2, 4, 8])
MIXERS = st.sampled_from(
    [
        Attention(32, 8, 128, 128),
        Attention(16, 2, 256, 256, output_gate=True, bias=True),
        LatentAttention(16, 768, 256, 64, 32, 64),
        LinearAttention(16, 32, 64, 64, 4),
        Mamba(64, 64, 128, 8, 4),
        None,
    ]
)
PARTS = st.sampled_from(
    [DenseMLP(8192), DenseMLP(8192, gated=False), MixtureOfExperts(64, 4, 1024, 1024), MixtureOfExperts(16, 2, 512)]
)
SCHEMES = st.sampled_from([FP8_PER_BLOCK, INT8_WEIGHT_ONLY, MXFP4, NF4, NVFP4])


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    kinds = draw(st.lists(st.builds(Layer, MIXERS, PARTS), min_size=1, max_size=3))
    count = draw(st.integers(8, 40))
    layers = tuple(kinds[index % len(kinds)] for index in range(count))
    return ModelCard("Any", 2048, draw(st.integers(1, 200_000)), draw(st.booleans()), layers, 16, 32_768)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    groups = draw(DEGREES)
    remainder = draw(st.sampled_from(list(Remainder)))
    return Layout(draw(DEGREES), draw(st.integers(1, 8)), groups, draw(DEGREES), 90, remainder)


@st.composite
def formats(draw: st.DrawFn) -> WeightFormat:
    scheme = draw(st.none() | SCHEMES)
    if scheme is None:
        return WeightFormat(16, None)
    return WeightFormat(16, Quantization("any", scheme, read_patterns(["lm_head"]), spread=draw(st.floats(0, 0.2))))


@given(cards(), formats(), layouts())
def test_intervals_hold_the_value_and_roles_add_up(card: ModelCard, served: WeightFormat, layout: Layout) -> None:
    table = weight_table(card, served, layout)
    assert 0 < table.low <= table.size_bytes <= table.high
    assert sum(table.by_role().values()) == table.size_bytes == max(table.totals)
    assert len(table.totals) == layout.pipeline
    assert 0 < table.active_parameters <= table.parameters + card.vocab_size * card.hidden_size


@given(cards(), formats(), DEGREES)
def test_more_ranks_never_hold_more_each(card: ModelCard, served: WeightFormat, degree: int) -> None:
    alone = weight_table(card, served, Layout(capability=90))
    shared = weight_table(card, served, Layout(degree, 1, 1, degree, 90))
    assert shared.size_bytes <= alone.size_bytes * 1.07  # padding of narrow matrices may cost a little
    assert shared.parameters == alone.parameters


@given(st.integers(1, 500), st.integers(1, 16), st.sampled_from(list(Remainder)))
def test_stages_cover_every_layer_once(layers: int, pipeline: int, remainder: Remainder) -> None:
    spans = stages(layers, Layout(pipeline=pipeline, remainder=remainder))
    assert spans[0][0] == 0
    assert spans[-1][1] == layers
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
