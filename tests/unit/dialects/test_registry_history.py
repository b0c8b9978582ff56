"""When spellings came and went, and what took their place."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.registry import FlagKind, release, releases
from inferplan.dialects.registry_history import Successor, _successors, history, known_flags, renamed

VLLM, SGLANG, TGI = Engine.VLLM, Engine.SGLANG, Engine.TGI
ENTRIES = [(engine, entry) for engine in Engine for entry in _successors(engine).values()]
NAMES = [f"{engine}{entry.old}" for engine, entry in ENTRIES]


@pytest.mark.parametrize(
    ("engine", "name", "first", "last", "gone"),
    [
        (VLLM, "--swap-space", "0.6.6", "0.17.1", "0.18.1"),
        (VLLM, "--max-num-seqs", "0.6.6", "0.33.0", None),
        (VLLM, "--no-calculate-kv-scales", "0.8.5", "0.27.1", "0.28.0"),
        (VLLM, "-spec-draft-tp", "0.6.6", "0.7.3", "0.8.5"),
        (SGLANG, "--cuda-graph-max-bs", "0.4.6.post5", "0.5.18", "0.5.20"),
        (TGI, "--quantize", "3", "3", None),
    ],
)
def test_a_spelling_has_a_first_and_a_last_release(
    engine: Engine, name: str, first: str, last: str, gone: str | None
) -> None:
    spelling = history(engine, name)
    assert spelling is not None
    assert (spelling.first, spelling.last, spelling.gone) == (first, last, gone)


def test_a_spelling_may_have_a_gap() -> None:
    spelling = history(VLLM, "--disable-log-requests")
    assert spelling is not None
    assert (spelling.first, spelling.last, spelling.gone) == ("0.6.6", "0.33.0", None)
    assert "0.16.0" in spelling.releases
    assert not {"0.17.1", "0.32.0"} & set(spelling.releases)


def test_what_no_release_has_has_no_history() -> None:
    assert history(VLLM, "--swap_space") is None
    assert history(SGLANG, "--swap-space") is None


@pytest.mark.parametrize(
    ("engine", "name", "new"),
    [
        (VLLM, "--disable-log-requests", "--enable-log-requests"),
        (VLLM, "--no-disable-log-requests", "--enable-log-requests"),
        (VLLM, "disable_log_requests", "--enable-log-requests"),
        (VLLM, "--cuda-graph-sizes", "--cudagraph-capture-sizes"),
        (VLLM, "--guided-decoding-backend", "--structured-outputs-config.backend"),
        (VLLM, "--task", "--runner and --convert"),
        (VLLM, "--rope-scaling", "--hf-overrides"),
        (VLLM, "--speculative-model", "--speculative-config.model"),
        (VLLM, "--num-scheduler-steps", ""),
        (VLLM, "--swap-space", ""),
        (SGLANG, "--cuda-graph-max-bs", "--cuda-graph-max-bs-decode"),
        (TGI, "--max-input-length", "--max-input-tokens"),
    ],
)
def test_what_took_the_place_of_a_flag(engine: Engine, name: str, new: str) -> None:
    entry = renamed(engine, name)
    assert entry is not None
    assert entry.new == new


@pytest.mark.parametrize("name", ["--enable-log-requests", "--no-enable-log-requests", "--max-num-seqs", "--nothing"])
def test_nothing_took_the_place_of_a_flag_that_is_there(name: str) -> None:
    assert renamed(VLLM, name) is None


def test_only_the_successors_that_say_the_opposite_are_negated() -> None:
    negated = {entry.old for entry in _successors(VLLM).values() if entry.negated}
    assert negated == {"--disable-log-requests", "--expand-tools-even-if-tool-choice-none"}


@pytest.mark.parametrize(("engine", "entry"), ENTRIES, ids=NAMES)
def test_an_old_spelling_existed_and_is_gone_or_on_its_way(engine: Engine, entry: Successor) -> None:
    spelling = history(engine, entry.old)
    assert spelling is not None
    has_gap = len(spelling.releases) < len(releases(engine)) and spelling.gone is None
    assert spelling.gone is not None or has_gap or engine is TGI


@pytest.mark.parametrize(("engine", "entry"), ENTRIES, ids=NAMES)
def test_a_new_spelling_exists_from_its_release_on(engine: Engine, entry: Successor) -> None:
    versions = releases(engine)
    assert bool(entry.names) is bool(entry.since)
    for name in entry.names:
        flag_name, _, key = name.partition(".")
        spelling = history(engine, flag_name)
        assert spelling is not None
        assert spelling.first == entry.since
        assert spelling.releases == versions[versions.index(entry.since) :]
        found = release(engine, versions[-1]).find(flag_name)
        assert found is not None
        assert found[0].kind in ({FlagKind.VALUE} if key else set(FlagKind))


@pytest.mark.parametrize(("engine", "entry"), ENTRIES, ids=NAMES)
def test_the_new_flag_is_there_when_the_old_one_goes(engine: Engine, entry: Successor) -> None:
    spelling = history(engine, entry.old)
    assert spelling is not None
    if not entry.since or spelling.gone is None:
        return
    versions = releases(engine)
    late = {"--expand-tools-even-if-tool-choice-none"}  # 0.10.0 had neither of the two
    assert versions.index(entry.since) <= versions.index(spelling.gone) + (entry.old in late)


def test_known_flags_list_every_spelling_by_the_engines_name() -> None:
    known = known_flags(VLLM)
    assert known["enable_prefix_caching"] == (
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
        "--disable-prefix-caching",
    )
    assert known["swap_space"] == ("--swap-space",)
    assert known["model_tag"] == ()
