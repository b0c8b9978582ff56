"""The settings that docs/operations.md names are those that there are, and its Prometheus sources can be used."""

import json
import re
from pathlib import Path

import pytest

from inferplan.settings import PrometheusSource, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("### Prometheus sources")[2].partition("## Reading")[0]


def test_the_guide_has_every_setting_and_no_other() -> None:
    table = GUIDE.partition("## Settings")[2].partition("### ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named == {f"INFERPLAN_{name.upper()}" for name in Settings.model_fields}


def test_the_examples_in_the_guide_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    block = SECTION.partition("```json\n")[2].partition("```")[0]
    monkeypatch.setenv("INFERPLAN_PROMETHEUS_SOURCES", block)
    assert set(load_settings().prometheus_sources) == set(json.loads(block))


def test_the_guide_has_every_field_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", SECTION, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == set(PrometheusSource.model_fields)
