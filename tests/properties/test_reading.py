"""What readers do with anything at all: they read, or refuse in the way that they document."""

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.strategies import quick
from tests.support.build import H100, LLAMA_CONFIG, QUIET, a, metrics

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit
from inferplan.dialects.effective import effective
from inferplan.dialects.environment import Environment, Variable, expand
from inferplan.dialects.images import version_of_image
from inferplan.dialects.keys import key_of, neutral_key, spelling_of
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import every_flag
from inferplan.dialects.version_order import version_number
from inferplan.dialects.words import Piece, Unreadable
from inferplan.domain.drift import VersionSource
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import SettingValue
from inferplan.engine.planner import plan
from inferplan.observe.drift import drift_of

common = ("max_num_seqs", "max_model_len", "kv_cache_dtype", "quantization", "enable_prefix_caching", "config")
spellings = sorted(
    {name for flag in every_flag(Engine.VLLM) if flag.dest in common for name in (*flag.names, *flag.negations)}
    | {"--swap-space", "--enable-chunked-prefill", "-tp", "--speculative-config", "--speculative-config.method", "-O"}
)
odd_values = (
    "",
    "None",
    "nan",
    "inf",
    "infk",
    "-1",
    "0",
    "1e999",
    "9" * 5000,
    "32k",
    "2.5K",
    "$(X)",
    "{}",
    "[1",
    "True",
)
texts = st.one_of(st.text(max_size=12), st.sampled_from(odd_values), st.integers().map(str))
words = st.one_of(
    st.sampled_from([*spellings, "serve", "--", "-", "-m", "--max-num", "$(FLAGS)", "--unknown", "-O3"]),
    st.builds(lambda name, text: f"{name}={text}", st.sampled_from(spellings), texts),
    texts,
)
environments = st.dictionaries(st.sampled_from(["X", "FLAGS"]), texts, max_size=2).map(
    lambda drawn: Environment({name: Variable((Piece(text),) if text else (), "env") for name, text in drawn.items()})
)
containers = st.builds(
    Container,
    name=st.just("c"),
    image=st.sampled_from([f"vllm/vllm-openai:v{version}" for version in ("0.33.0", "0.11.0", "0.6.6", "1")]),
    command=st.sampled_from([(), ("vllm", "serve"), ("python3", "-m", "vllm.entrypoints.openai.api_server")]),
    args=st.lists(words, max_size=8).map(tuple),
    environment=environments,
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**12))
json = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from(["rope_type", "x"]), scalars))


def settings_in(container: Container) -> Reading:
    """The reading of a container that is known to start vLLM."""
    found = read_engine(container)
    assert isinstance(found, Reading)
    return found


@quick
@given(containers)
def test_any_argument_list_is_read_or_reported_and_planned_with(container: Container) -> None:
    reading = read_engine(container)
    assert reading is not None
    if isinstance(reading, Unreadable):
        assert reading.reason
        return
    assert not reading.unknown & reading.config.settings.keys()
    config = effective(reading.config, H100, reading.unknown)
    drift = drift_of(reading, H100, a.model(), VersionSource.IMAGE)
    observation = Observation(config, H100, a.model(), metrics(**QUIET), drift=drift)
    plan(observation, Policy(rules_of_thumb=True))


settings = st.one_of(
    st.tuples(st.just("max_batch_size"), st.integers(1, 10**6)),
    st.tuples(st.just("max_num_batched_tokens"), st.integers(1, 10**6)),
    st.tuples(st.just("gpu_memory_utilization"), st.floats(0.01, 1.0)),
    st.tuples(st.just("kv_cache_dtype"), st.sampled_from(["fp8", "auto", "fp8_e5m2"])),
    st.tuples(st.just("quantization"), st.sampled_from(["fp8_per_tensor", "awq"])),
    st.tuples(st.sampled_from(["enable_prefix_caching", "enable_chunked_prefill"]), st.booleans()),
)


@quick
@given(containers, st.dictionaries(st.just("k"), settings, min_size=1).map(lambda drawn: dict(drawn.values())))
def test_an_edit_gives_the_change_and_nothing_else(container: Container, changes: dict[str, SettingValue]) -> None:
    edited = edit(container, changes)
    assume(isinstance(edited, Container))
    assert isinstance(edited, Container)
    before, after = settings_in(container).config, settings_in(edited).config
    assert {key: after.value(key) for key in changes} == changes
    kept = before.settings.keys() - changes.keys()
    assert {key: after.value(key) for key in kept} == {key: before.value(key) for key in kept}
    assert after.model == before.model


plain = st.lists(
    st.sampled_from(
        [
            "--max-num-seqs=32",
            "--max-num-seqs 16",
            "--kv-cache-dtype=fp8",
            "-tp 2",
            "--port 8000",
            "--swap-space=1",
            "-q awq",
        ]
    ),
    max_size=5,
)


@quick
@given(plain, settings)
def test_plain_argument_lists_are_always_editable_and_an_edit_can_be_taken_back(
    args: list[str], change: tuple[str, SettingValue]
) -> None:
    container = a.container("M", *(word for arg in args for word in arg.split()))
    key, value = change
    edited = edit(container, {key: value})
    assert isinstance(edited, Container)
    assert edit(container, {}) is container
    old = settings_in(container).config.value(key)
    if old is None:
        assert edit(edited, {key: None}) == container
    else:
        assert edit(edited, {key: old}) == container


@quick
@given(st.dictionaries(st.sampled_from(sorted(LLAMA_CONFIG)), json, max_size=4), st.booleans())
def test_any_config_json_gives_a_card_or_a_reason(changes: dict[str, Any], whole: bool) -> None:
    card = read_model_config({**LLAMA_CONFIG, **changes} if whole else changes)
    if isinstance(card, Missing):
        assert 0 < len(card.reason) < 400
        return
    assert min(card.num_layers, card.hidden_size, card.vocab_size) >= 1
    plan(Observation(effective(a.config(max_batch_size=32), H100), H100, card, metrics(**QUIET)), Policy())


@quick
@given(st.integers(1, 2048), st.integers(1, 10**7), st.integers(1, 10**7))
def test_sizes_of_any_magnitude_do_no_harm(layers: int, width: int, vocabulary: int) -> None:
    changes = {"num_hidden_layers": layers, "intermediate_size": width, "vocab_size": vocabulary}
    card = read_model_config({**LLAMA_CONFIG, **changes})
    assert isinstance(card, ModelCard)
    full = metrics(**{**QUIET, "kv_cache_usage": 1.0})
    for load in (metrics(**QUIET), full):
        plan(Observation(effective(a.config(max_batch_size=32), H100), H100, card, load), Policy())


@quick
@given(st.one_of(st.text(), st.from_regex(r"v?[0-9]*\.[0-9]*\.?[0-9]*.*")))
def test_a_version_is_read_or_not_known(text: str) -> None:
    version = version_number(text)
    assert version is None or all(part >= 0 for part in version.numbers)
    version_of_image(text)
    assert expand(text, 0, Environment({})).text.replace("$", "") == text.replace("$", "")


@quick
@given(st.sampled_from(Engine), st.text(max_size=20))
def test_a_key_is_known_or_names_the_nearest(engine: Engine, name: str) -> None:
    try:
        key = neutral_key(engine, name)
    except ValueError as error:
        assert "did you mean" in str(error)  # noqa: PT017  any text may be a key, so either outcome is right
        return
    assert key_of(key) is not None or spelling_of(engine, key) is not None
