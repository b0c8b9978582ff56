"""What is asked of a source of metrics."""

import pytest

from inferplan.api.values import Engine
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.observe.meter import WINDOWS, served_names, whole_window


@pytest.mark.parametrize(
    ("wanted", "age", "window"),
    [
        (900, None, 900),
        (1000, None, 900),  # the next shorter one
        (60, None, 60),
        (86_400, None, 86_400),
        (900, 5_000.0, 900),
        (900, 700.0, 600),
        (900, 60.0, 60),
    ],
)
def test_the_window_is_one_that_others_ask_for_too(wanted: int, age: float | None, window: int) -> None:
    assert whole_window(wanted, age) == window
    assert window in WINDOWS


@pytest.mark.parametrize(("age", "told"), [(59.0, "only 59 s"), (0.0, "only 0 s"), (-30.0, "only 0 s")])
def test_pods_younger_than_a_minute_give_no_window(age: float, told: str) -> None:
    found = whole_window(900, age)
    assert isinstance(found, Missing)
    assert told in found.reason


def config(model: str | None, served: str | None) -> ServingConfig:
    settings = {} if served is None else {"served_model_name": Setting(served, Origin.ARGUMENT)}
    return ServingConfig(Engine.VLLM, "0.33.0", model, settings)


@pytest.mark.parametrize(
    ("model", "served", "names"),
    [
        ("org/llama", None, {"org/llama"}),
        ("org/llama", "chat", {"chat"}),
        ("org/llama", '["chat", "chat-large"]', {"chat", "chat-large"}),
        ("org/llama", "[]", {"org/llama"}),
        ("org/llama", "7", {"7"}),
        (None, None, None),
    ],
)
def test_the_names_of_an_engines_series_are_those_it_serves_under(
    model: str | None, served: str | None, names: set[str] | None
) -> None:
    assert served_names(config(model, served)) == names
