"""Names of modules in quantization configs against the modules of a model."""

import pytest

from inferplan.domain.module_patterns import over_all_layers, read_patterns

LAYERS = tuple(range(30))


def layers_of(pattern: str, *names: str) -> set[int]:
    return {layer for each in read_patterns([pattern]) for layer in each.layers_of(names, LAYERS)}


@pytest.mark.parametrize(
    ("pattern", "name", "layers"),
    [
        ("model.layers.3.mlp.gate", "mlp.gate", {3}),
        ("model.layers.3.mlp.gate", "mlp.gate_proj", set()),
        ("model.layers.3.self_attn", "self_attn.q_proj", {3}),
        ("model.language_model.layers.3.self_attn*", "self_attn.o_proj", {3}),
        ("model.layers.2*", "mlp.down_proj", {2, *range(20, 30)}),
        ("model.layers.0*", "mlp.down_proj", {0}),
        ("model.layers.1.*", "mlp.down_proj", {1}),
        ("backbone.layers.4.mixer", "mixer.in_proj", {4}),
        ("model.layers.*.self_attn", "self_attn.q_proj", set(LAYERS)),
        ("self_attn", "self_attn.q_proj", set(LAYERS)),
        ("*.mlp.shared_expert.*", "mlp.shared_expert.up_proj", set(LAYERS)),
        ("*.attn.*", "mlp.up_proj", set()),
        ("re:.*self_attn.*", "self_attn.q_proj", set(LAYERS)),
        ("re:.*mlp\\.(gate|up|down)_proj.*", "mlp.experts.gate_proj", set()),
        ("re:.*layers\\.(0|7)\\..*", "mlp.up_proj", {0, 7}),
        ("model.layers.5.mlp.experts.12.w1", "mlp.experts.w1", {5}),
        ("vision_tower", "mlp.up_proj", set()),
    ],
)
def test_a_pattern_means_these_layers(pattern: str, name: str, layers: set[int]) -> None:
    assert layers_of(pattern, name) == layers


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("lm_head", True),
        ("language_model.lm_head", True),
        ("*lm_head*", True),
        ("re:.*lm_head.*", True),
        ("model.layers.3.mlp", False),
        ("vision_tower*", False),
    ],
)
def test_a_pattern_may_mean_the_head(pattern: str, *, meant: bool) -> None:
    assert read_patterns([pattern])[0].means(("lm_head",)) is meant


def test_equal_names_in_several_layers_are_one_pattern() -> None:
    patterns = read_patterns([f"model.layers.{number}.mlp.gate" for number in range(20)])
    assert len(patterns) == 1
    assert patterns[0].layers == frozenset(range(20))


def test_what_a_cut_list_names_often_goes_for_all_layers() -> None:
    entries = [f"model.layers.{number}.self_attn*" for number in (0, 1, 10)] + ["model.layers.0.mlp*"]
    often, seldom = over_all_layers(read_patterns(entries))
    assert often.layers is None
    assert seldom.layers == {0}


def test_whole_layers_of_a_cut_list_stay_exceptions() -> None:
    (whole,) = over_all_layers(read_patterns(["model.layers.0*", "model.layers.1.*", "model.layers.2.*"]))
    assert whole.layers == {0, 1, 2}


def test_a_pattern_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 512"):
        read_patterns(["x" * 513])
