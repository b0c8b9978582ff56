"""Known defects: of each a configuration that meets it, others in which one condition fails, and its releases."""

import re
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a

from inferplan.api.values import Engine
from inferplan.dialects.effective import effective
from inferplan.dialects.known_defects import KNOWN_DEFECTS, FoundDefects, KnownDefect, known_defects
from inferplan.dialects.situation import NotKnownError, Situation, at
from inferplan.domain.architecture import Attention, DenseMLP, Indexer, LatentAttention, Layer, LinearAttention
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard, Tower

MLP = DenseMLP(1024)
FULL = Attention(8, 8, 128, 128)
DENSE = LatentAttention(128, 1536, 512, 128, 64, 128)


def card(*mixers: Any, **changes: Any) -> ModelCard:
    return replace(LLAMA, layers=tuple(Layer(mixer, MLP) for mixer in mixers), **changes)


SEES = card(FULL, towers=(Tower("vision", 400_000_000, "test"),))
GPT_OSS = card(replace(FULL, window=128), FULL)
TWO_WINDOWS = card(replace(FULL, window=128), replace(FULL, window=256), FULL)
ONLY_WINDOWS = card(replace(FULL, window=128))
CHUNKED = card(replace(FULL, chunk=8192), FULL)
MLA = card(DENSE)
SPARSE = card(replace(DENSE, indexer=Indexer(64, 128, 2048)))
HYBRID = card(FULL, LinearAttention(16, 32, 128, 128, 4))
V32 = replace(SPARSE, architecture="DeepseekV32ForCausalLM")
A100 = Accelerator("NVIDIA-A100-SXM4-80GB", 1, 81_920, 80, "nodeLabels")
UNKNOWN = Accelerator()

EAGLE = '{"method": "eagle3", "num_speculative_tokens": 3}'
OFFLOADER = '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}'
NIXL = '{"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}'
PRODUCER = '{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}'


@dataclass(frozen=True)
class Running:
    """What runs, as InferPlan reads it: settings with the version's defaults."""

    version: str = ""
    model: ModelCard | None = LLAMA
    accelerator: Accelerator = H100
    engine: Engine = Engine.VLLM
    settings: dict[str, Any] = field(default_factory=dict)
    complete: bool = True

    def defects(self) -> list[str]:
        """Sources of what is found."""
        config = replace(a.config(self.engine, self.version, **self.settings), complete=self.complete)
        ready = effective(config, self.accelerator, model=self.model)
        return [defect.source for defect in known_defects(ready, self.accelerator, self.model).present]


def defect(number: int) -> KnownDefect:
    """The entry whose first thread has that number."""
    (found,) = [entry for entry in KNOWN_DEFECTS if entry.source.split("#")[1].strip(", ") == str(number)]
    return found


MET: dict[int, Running] = {
    34183: Running("0.12.0", SEES),
    26467: Running("0.11.0", settings={"async_scheduling": True}),
    27121: Running("0.11.0", V32),
    33524: Running("0.14.1", GPT_OSS, settings={"speculative_config": EAGLE}),
    35175: Running("0.16.0", MLA, settings={"kv_cache_dtype": "fp8"}),
    44490: Running("0.20.2"),
    44560: Running("0.22.1", MLA, settings={"kv_offloading_size": 64}),
    49675: Running("0.28.0", settings={"kv_transfer_config": NIXL}),
    17191: Running("0.5.5.post3", engine=Engine.SGLANG),
    21624: Running("0.5.8", engine=Engine.SGLANG, settings={"enable_hierarchical_cache": True}),
}
"""Of each entry a configuration that meets it, by its first thread."""


def changed(number: int, **changes: Any) -> Running:
    """That configuration, with other settings besides its own (None leaves one out), or other fields."""
    base = MET[number]
    names = {"version", "model", "accelerator", "complete"}
    kept = base.settings | {key: value for key, value in changes.items() if key not in names}
    return replace(base, settings=kept, **{key: value for key, value in changes.items() if key in names})


def test_every_entry_has_its_configuration() -> None:
    assert {entry.source for entry in KNOWN_DEFECTS} == {defect(number).source for number in MET}


@pytest.mark.parametrize("number", MET)
def test_a_configuration_that_meets_a_defect_is_told(number: int) -> None:
    assert defect(number).source in MET[number].defects()


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (34183, {"model": LLAMA}),
        (34183, {"model": None}),
        (34183, {"enable_prefix_caching": False}),
        (26467, {"async_scheduling": False}),
        (26467, {"async_scheduling": None}),  # off by default there
        (27121, {"model": MLA}),
        (27121, {"kv_cache_dtype": "bfloat16"}),
        (33524, {"model": LLAMA}),
        (33524, {"model": ONLY_WINDOWS}),
        (33524, {"model": TWO_WINDOWS}),
        (33524, {"model": CHUNKED}),
        (33524, {"model": HYBRID}),
        (33524, {"speculative_config": None}),
        (33524, {"speculative_config": '{"method": "ngram"}'}),
        (33524, {"speculative_config": '{"model": "org/drafter"}'}),  # the engine finds out what it is
        (33524, {"enable_prefix_caching": False}),
        (33524, {"disable_hybrid_kv_cache_manager": True}),
        (33524, {"kv_transfer_config": NIXL}),
        (33524, {"complete": False}),
        (35175, {"model": LLAMA}),
        (35175, {"model": SPARSE}),
        (35175, {"kv_cache_dtype": "auto"}),
        (35175, {"accelerator": A100}),
        (35175, {"accelerator": UNKNOWN}),
        (35175, {"attention_backend": "TRITON_MLA"}),
        (35175, {"enforce_eager": True}),
        (35175, {"compilation_config": '{"cudagraph_mode": "PIECEWISE"}'}),
        (35175, {"complete": False}),
        (44490, {"model": HYBRID}),
        (44490, {"model": ONLY_WINDOWS}),
        (44490, {"model": MLA}),
        (44490, {"model": None}),
        (44560, {"kv_offloading_size": None}),
        (44560, {"kv_offloading_size": 0}),
        (44560, {"kv_offloading_backend": "lmcache"}),
        (44560, {"scheduling_policy": "priority"}),
        (44560, {"complete": False}),
        (44560, {"version": "0.13.0"}),  # no backend, no offload
        (44560, {"kv_offloading_size": None, "kv_transfer_config": NIXL}),
        (49675, {"kv_transfer_config": None}),
        (49675, {"kv_transfer_config": PRODUCER}),
        (49675, {"kv_transfer_config": "[1]"}),
        (49675, {"kv_transfer_config": "{broken"}),
        (49675, {"kv_transfer_config": "[" * 100_000}),
        (49675, {"async_scheduling": False}),
        (17191, {"enable_prefix_caching": False}),
        (21624, {"enable_hierarchical_cache": False}),
        (21624, {"enable_hierarchical_cache": None}),
    ],
)
def test_without_one_of_its_conditions_or_knowledge_of_it_nothing_is_said(number: int, changes: dict[str, Any]) -> None:
    assert defect(number).source not in changed(number, **changes).defects()


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (33524, {"speculative_config": '{"method": "qwen3_next_mtp"}'}),
        (33524, {"disable_hybrid_kv_cache_manager": False, "complete": False}),
        (44560, {"kv_offloading_backend": "native", "complete": False}),
        (44560, {"version": "0.13.0", "kv_offloading_backend": "native"}),
        (44560, {"kv_offloading_size": None, "kv_transfer_config": OFFLOADER}),
        (49675, {"kv_transfer_config": None, "kv_offloading_size": 64}),
        (49675, {"kv_transfer_config": OFFLOADER}),
        (26467, {"complete": False}),
    ],
)
def test_other_spellings_of_a_condition_are_met_too(number: int, changes: dict[str, Any]) -> None:
    assert defect(number).source in changed(number, **changes).defects()


@pytest.mark.parametrize("number", MET)
def test_a_defect_begins_with_its_first_release_and_ends_before_the_fixed_one(number: int) -> None:
    entry = defect(number)
    assert entry.source not in changed(number, version=entry.fixed).defects()
    if entry.since is None:
        assert entry.releases == f"before {entry.fixed}"
    else:
        assert entry.releases == f"from {entry.since} on and before {entry.fixed}"
        assert entry.source in changed(number, version=entry.since).defects()
        assert entry.comes_after(at(0))
        assert not entry.comes_after(entry.fixed_release)


@pytest.mark.parametrize("entry", KNOWN_DEFECTS, ids=lambda entry: entry.source)
def test_an_entry_names_its_threads_and_states_no_effect_in_numbers(entry: KnownDefect) -> None:
    repository = {Engine.VLLM: "vllm-project/vllm", Engine.SGLANG: "sgl-project/sglang"}[entry.engine]
    assert re.fullmatch(rf"{repository}(#\d+, )*#\d+", entry.source)
    assert entry.where
    assert not re.search(r"\d+ ?(%|x\b|times|GiB|tokens)", f"{entry.name} {entry.effect}")


@pytest.mark.parametrize(
    ("version", "is_told"),
    [
        ("0.17.0", False),
        ("0.17.1", True),
        ("0.25.1", True),
        ("v0.25.1-cu129", True),
        ("0.25.1.post1", True),
        ("0.26.0", False),
        ("0.25.2.dev40+g1234567", False),  # may have the fix
        ("0.26.0rc1", False),
        ("latest", False),
        (None, False),
    ],
)
def test_only_a_known_release_is_told(version: str | None, is_told: bool) -> None:
    config = a.config(version=version, max_batch_size=32)
    assert bool(known_defects(config, H100, LLAMA).present) is is_told


def test_another_engine_of_that_version_is_not_meant() -> None:
    assert known_defects(a.config(Engine.SGLANG, "0.20.2"), H100, LLAMA) == FoundDefects()


def test_the_upgrade_passes_releases_that_trade_one_defect_for_another() -> None:
    found = known_defects(a.config(version="0.12.0", enable_prefix_caching=True), H100, SEES)
    assert [(each.since, each.fixed) for each in found.present] == [("0.10.1", "0.16.0")]
    assert [(each.since, each.fixed) for each in found.ahead] == [("0.17.1", "0.26.0")]
    assert found.upgrade == "0.26.0"


@pytest.mark.parametrize(("version", "ahead"), [("0.12.0", 1), ("0.26.0", 0)])
def test_without_a_defect_there_is_nothing_to_upgrade_for(version: str, ahead: int) -> None:
    found = known_defects(a.config(version=version), H100, LLAMA)
    assert (found.present, len(found.ahead), found.upgrade) == ((), ahead, None)


def test_an_entry_with_a_version_that_is_none_is_refused() -> None:
    broken = replace(KNOWN_DEFECTS[0], fixed="latest")
    with pytest.raises(ValueError, match="'latest' is no version"):
        _ = broken.fixed_release


def test_thousands_of_brackets_say_no_method_of_speculation() -> None:
    settings = a.config(speculative_config="[" * 100_000).settings
    situation = Situation(at(0, 14), replace(a.config(), settings=MappingProxyType(settings)))
    with pytest.raises(NotKnownError):
        situation.speculative_method()
