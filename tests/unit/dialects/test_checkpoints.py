"""The table of published quantized checkpoints: whole, typed, each figure with its source."""

import json
from importlib import resources

from inferplan.api.values import QuantizationMethod
from inferplan.dialects.checkpoints import twin, twins_of


def test_a_model_is_known_by_every_spelling_of_its_id() -> None:
    ids = {found.id for found in twins_of("meta-llama/Llama-3.1-8B-Instruct")}
    assert ids == {
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8",
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16",
    }
    assert {found.id for found in twins_of("meta-llama/meta-llama-3.1-8b-instruct")} == ids
    assert twins_of("/models/llama") == ()
    assert twins_of(None) == ()


def test_a_checkpoint_is_known_by_its_id() -> None:
    found = twin("redhatai/meta-llama-3.1-70b-instruct-fp8")
    assert found is not None
    assert found.checkpoint.method is QuantizationMethod.FP8
    assert found.checkpoint.accuracy_recovery is None  # the owner has not said so
    assert found.recovery == (
        "99.9 % of the original's OpenLLM v1 score by its model card,"
        " https://huggingface.co/RedHatAI/Meta-Llama-3.1-70B-Instruct-FP8"
    )
    assert twin("somebody/else") is None


def test_every_entry_names_its_own_card_and_a_score_that_can_be() -> None:
    entries = json.loads(resources.files("inferplan.dialects").joinpath("data", "checkpoints.json").read_text("utf-8"))
    assert len({entry["id"] for entry in entries}) == len(entries)
    for entry in entries:
        found = twin(entry["id"])
        assert found is not None
        assert found in twins_of(entry["models"][0])
        assert found.source == f"https://huggingface.co/{found.id}"
        assert 90 < found.recovery_percent < 110
        assert entry["stated"]
