"""Words become flags and positional words as the engine's own parser sees them."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.grammar import Ambiguous, Meaning, grammar
from inferplan.dialects.scan import Argument, scan
from inferplan.dialects.words import Piece, Word, known_word


def words(*texts: str) -> tuple[Word, ...]:
    return tuple(known_word(text) for text in texts)


def unknown(name: str, *, splits: bool = False) -> Word:
    return Word((Piece(f"$({name})", unknown=name, splits=splits),))


def dest(argument: Argument) -> str:
    assert isinstance(argument.meaning, Meaning)
    return argument.meaning.flag.dest


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("--max-num-seqs", "max_num_seqs"),
        ("--max_num_seqs", "max_num_seqs"),
        ("--max-num-seq", "max_num_seqs"),
        ("--max-num-batched-token", "max_num_batched_tokens"),
        ("--gpu-memory-util", "gpu_memory_utilization"),
        ("-tp", "tensor_parallel_size"),
        ("-q", "quantization"),
    ],
)
def test_a_flag_is_known_by_every_spelling_that_the_release_takes(word: str, meaning: str) -> None:
    (argument,) = scan(words(word, "1"), grammar(Engine.VLLM, "0.33.0")).arguments
    assert dest(argument) == meaning
    assert argument.words == (0, 1)


def test_a_prefix_of_several_flags_is_ambiguous_and_names_them() -> None:
    (argument,) = scan(words("--max-num", "1"), grammar(Engine.VLLM, "0.33.0")).arguments
    assert isinstance(argument.meaning, Ambiguous)
    assert "--max-num-seqs" in argument.meaning.names


def test_a_prefix_that_only_some_releases_find_ambiguous_is_read_where_the_release_is_unknown() -> None:
    # 0.28 and older know only --cuda-graph-sizes or --cudagraph-…; --max-num-seq is short for one flag in all
    (argument,) = scan(words("--max-num-seq", "1"), grammar(Engine.VLLM, None)).arguments
    assert dest(argument) == "max_num_seqs"


def test_sglang_takes_no_underscores_in_flags() -> None:
    (argument,) = scan(words("--max_running_requests", "8"), grammar(Engine.SGLANG, "0.5.23")).arguments
    assert argument.meaning is None


def test_a_value_behind_an_equals_sign_and_as_its_own_word() -> None:
    given = words("--port=1", "--port", "2", "model")
    found = scan(given, grammar(Engine.VLLM, "0.33.0"))
    assert [argument.values(given) for argument in found.arguments] == [("1",), ("2",)]
    assert found.positionals == (3,)


def test_a_negative_number_is_a_value() -> None:
    given = words("--max-model-len", "-1")
    assert scan(given, grammar(Engine.VLLM, "0.33.0")).arguments[0].values(given) == ("-1",)


def test_a_list_takes_words_up_to_the_next_flag() -> None:
    given = words("--served-model-name", "a", "b", "--port", "1")
    first = scan(given, grammar(Engine.VLLM, "0.33.0")).arguments[0]
    assert first.values(given) == ("a", "b")


def test_a_switch_takes_no_word_and_the_next_is_positional() -> None:
    found = scan(words("--enforce-eager", "model"), grammar(Engine.VLLM, "0.33.0"))
    assert found.positionals == (1,)


def test_a_switch_of_old_releases_takes_the_word_false() -> None:
    for version, taken in (("0.6.6", (0, 1)), ("0.7.3", (0, 1)), ("0.11.0", (0,)), (None, (0, 1))):
        (argument,) = scan(words("--enable-chunked-prefill", "False"), grammar(Engine.VLLM, version)).arguments
        assert argument.words == taken, version


@pytest.mark.parametrize("given", [("-O3",), ("-O=3",), ("-O", "3")])
def test_optimization_levels_are_a_flag_of_their_own_from_0_12_on(given: tuple[str, ...]) -> None:
    new = scan(words(*given), grammar(Engine.VLLM, "0.12.0")).arguments[0]
    assert (dest(new), new.values(words(*given))) == ("optimization_level", ("3",))
    old = scan(words(*given), grammar(Engine.VLLM, "0.11.0")).arguments[0]
    assert (dest(old), old.path) == ("compilation_config", ("level",))


def test_dotted_keys_are_read_where_the_release_reads_them() -> None:
    given = words("--speculative-config.num_speculative_tokens", "4", "m")
    found = scan(given, grammar(Engine.VLLM, "0.33.0"))
    assert found.arguments[0].path == ("num_speculative_tokens",)
    assert found.positionals == (2,)
    assert scan(given, grammar(Engine.VLLM, "0.8.5")).arguments[0].meaning is None


def test_an_unknown_word_in_the_models_place_is_the_model_and_anywhere_else_may_be_flags() -> None:
    found = scan((unknown("MODEL"), known_word("--port"), known_word("1"), unknown("MORE")), grammar(Engine.VLLM, None))
    assert (found.positionals, found.hidden) == ((0,), (3,))


def test_an_unknown_word_behind_a_flag_is_its_value() -> None:
    given = (known_word("--max-model-len"), unknown("LENGTH", splits=True))
    found = scan(given, grammar(Engine.VLLM, None))
    assert found.arguments[0].unknown(given) == ("LENGTH",)
    assert not found.hidden


def test_unknown_words_that_may_vanish_are_not_taken_into_a_list() -> None:
    given = (*words("--served-model-name", "a"), unknown("@", splits=True))
    found = scan(given, grammar(Engine.VLLM, None))
    assert (found.arguments[0].values(given), found.hidden) == (("a",), (2,))


def test_a_variable_within_a_flags_name_hides_it() -> None:
    word = Word((Piece("--"), Piece("$(NAME)", unknown="NAME"), Piece("=1")))
    assert scan((word,), grammar(Engine.VLLM, None)).hidden == (0,)


def test_the_word_behind_a_flag_that_no_release_knows_is_doubtful() -> None:
    found = scan(words("--of-a-fork", "x", "--port", "1"), grammar(Engine.VLLM, "0.33.0"))
    assert (found.arguments[0].meaning, found.doubtful) == (None, (1,))


def test_behind_two_dashes_everything_is_positional() -> None:
    assert scan(words("--port", "1", "--", "--port"), grammar(Engine.VLLM, "0.33.0")).positionals == (3,)


def test_a_flag_of_another_release_is_marked_and_still_taken_apart() -> None:
    given = words("--swap-space", "16", "m")
    found = scan(given, grammar(Engine.VLLM, "0.18.1"))
    meaning = found.arguments[0].meaning
    assert isinstance(meaning, Meaning)
    assert meaning.refused
    assert found.positionals == (2,)
    kept = scan(given, grammar(Engine.VLLM, "0.17.1")).arguments[0].meaning
    assert isinstance(kept, Meaning)
    assert not kept.refused
