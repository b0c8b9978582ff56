"""What must hold for every container that starts an engine: reading, editing, and the way back."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.command_lines import Variant, variant

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import releases
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import SettingValue

RELEASES = [(engine, version) for engine in (Engine.VLLM, Engine.SGLANG) for version in releases(engine)]
VALUES: dict[str, tuple[SettingValue, ...]] = {
    "max_batch_size": (8, 1000),
    "max_num_batched_tokens": (512, 8192),
    "max_model_len": (4096, 32768),
    "gpu_memory_utilization": (0.85, 0.95),
    "kv_cache_dtype": ("fp8_e5m2", "auto"),
    "enable_prefix_caching": (True, False),
    "enforce_eager": (True, False),
    "tensor_parallel_size": (2, 4),
    "quantization": ("fp8", "awq"),
    "dtype": ("bfloat16",),
}

variants = st.builds(lambda seed, release: variant(seed, *release), st.integers(0, 2**32), st.sampled_from(RELEASES))


@st.composite
def changes(draw: st.DrawFn) -> dict[str, SettingValue | None]:
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True))
    return {key: draw(st.sampled_from((*VALUES[key], None))) for key in keys}


def read(container: Container, version: str) -> Reading:
    reading = read_engine(container, version)
    assert isinstance(reading, Reading), reading
    return reading


def settings_of(reading: Reading) -> dict[str, SettingValue]:
    return {key: setting.value for key, setting in reading.config.items()}


@given(made=variants)
def test_whatever_its_shape_a_container_is_read_to_what_it_says(made: Variant) -> None:
    reading = read(made.container, made.version)
    assert reading.unreadable == ()
    assert reading.config.model == made.model
    assert settings_of(reading) == dict(made.expected)
    assert tuple(word.text for word in reading.launch.words) == made.words


@given(made=variants)
def test_every_letter_of_a_word_stands_where_its_pieces_say(made: Variant) -> None:
    for word in read(made.container, made.version).launch.words:
        for piece in word.pieces:
            if piece.verbatim:
                assert made.container.strings[piece.source][piece.start : piece.end] == piece.text


@given(made=variants)
def test_no_change_leaves_every_string_as_it_is(made: Variant) -> None:
    assert edit(made.container, {}, made.version) == made.container


@given(made=variants, wanted=changes())
def test_an_edit_makes_exactly_its_changes(made: Variant, wanted: dict[str, SettingValue | None]) -> None:
    edited = edit(made.container, wanted, made.version)
    if isinstance(edited, NotEditable):
        assert edited.reason
        return
    after, before = settings_of(read(edited, made.version)), settings_of(read(made.container, made.version))
    for key in {*before, *after} - set(wanted):
        assert after.get(key) == before.get(key), key
    for key, value in wanted.items():
        if value is not None and key in after:
            assert after[key] == value
        assert value is not None or key not in after


@given(made=variants, wanted=changes())
def test_an_edit_and_its_opposite_mean_what_was_there_before(
    made: Variant, wanted: dict[str, SettingValue | None]
) -> None:
    edited = edit(made.container, wanted, made.version)
    if isinstance(edited, NotEditable):
        return
    back = edit(edited, {key: made.expected.get(key) for key in wanted}, made.version)
    if not isinstance(back, NotEditable):
        assert settings_of(read(back, made.version)) == dict(made.expected)


@given(made=variants, added=st.sampled_from(["max_batch_size", "max_model_len", "gpu_memory_utilization"]))
def test_a_flag_that_is_added_and_taken_out_again_leaves_the_very_same_strings(made: Variant, added: str) -> None:
    if added in made.expected:
        return
    edited = edit(made.container, {added: VALUES[added][0]}, made.version)
    if not isinstance(edited, NotEditable):
        assert edit(edited, {added: None}, made.version) == made.container


@settings(max_examples=200)
@given(
    made=variants,
    key=st.sampled_from(["quantization", "kv_cache_dtype", "dtype", "model", "load_format", "tokenizer"]),
    text=st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "x; rm -rf /",
                "$(id)",
                "`id`",
                "--port",
                "a b",
                "x' --y 'z",
                'x" && y',
                "$HOME",
                "$(MODEL)",
                "x\n--y",
                "-1",
            ]
        ),
    ),
)
def test_no_text_can_become_an_argument_or_code(made: Variant, key: str, text: str) -> None:
    edited = edit(made.container, {key: text}, made.version)
    if isinstance(edited, NotEditable):
        return
    before, after = read(made.container, made.version), read(edited, made.version)
    assert (after.config.model if key == "model" else after.config.text(key)) == text
    assert len(after.scanned.positionals) == len(before.scanned.positionals)
    assert len(after.launch.words) - len(before.launch.words) <= 2  # a flag and its value, at most
    assert after.launch.engine is before.launch.engine


@given(seed=st.integers(0, 2**32))
def test_variants_are_repeatable(seed: int) -> None:
    engine, version = Random(seed).choice(RELEASES)
    assert variant(seed, engine, version) == variant(seed, engine, version)
