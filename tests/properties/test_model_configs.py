"""Whatever a config.json holds, there is a card or a reason, and nothing is raised."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import quick

from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_catalogue import catalogue, known_model
from inferplan.domain.model_lookup import model_card
from inferplan.domain.model_reading.names import ARCHITECTURES

ENTRIES = tuple(catalogue())
KEYS = sorted(
    {key for entry in ENTRIES for part in (entry.config, entry.config.get("text_config", {})) for key in part}
)
NAMES = [name for names in ARCHITECTURES.values() for name in names]
numbers = st.one_of(st.integers(-3, 300), st.sampled_from([10**7, 10**12, 2**70]), st.floats())
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.sampled_from(["full_attention", "M*-E"]))
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
configs = st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), anything, max_size=12)


def check(card: ModelCard | Missing) -> None:
    if isinstance(card, Missing):
        assert 0 < len(card.reason) < 600
        return
    assert 1 <= len(card.layers) <= 2048
    assert min(card.hidden_size, card.vocab_size) >= 1
    assert sum(card.layer_counts.values()) == card.num_layers
    assert card.extra_parameters >= 0
    assert all(tower.parameters > 0 for tower in card.towers)


@quick
@given(configs, st.sampled_from([*NAMES, None]), st.one_of(st.none(), st.text(max_size=40)))
def test_any_object_gives_a_card_or_a_reason(config: dict[str, Any], name: str | None, model_id: str | None) -> None:
    check(model_card({**config, "architectures": [name]} if name else config, model_id))


@quick
@given(st.sampled_from(ENTRIES), st.dictionaries(st.sampled_from(KEYS), anything, max_size=3), st.booleans())
def test_any_change_of_a_real_config_gives_a_card_or_a_reason(entry: Any, changes: dict[str, Any], inner: bool) -> None:
    config = dict(entry.config)
    if inner and "text_config" in config:
        config["text_config"] = {**config["text_config"], **changes}
    else:
        config |= changes
    check(model_card(config, entry.name))


@quick
@given(st.one_of(st.text(), st.sampled_from([entry.name for entry in ENTRIES]).map(lambda name: f"x/{name}-FP8")))
def test_any_id_is_known_or_not(model_id: str) -> None:
    known = known_model(model_id)
    assert known is None or known.config["architectures"]
