"""Golden files in YAML; `<ANY>` in one stands for any value. `--update-goldens` writes what came out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ANY = "<ANY>"


def masked(document: Any, keys: frozenset[str]) -> Any:
    """The document with `<ANY>` for the values of these keys, at any depth."""
    if isinstance(document, Mapping):
        return {key: ANY if key in keys else masked(value, keys) for key, value in document.items()}
    return [masked(entry, keys) for entry in document] if isinstance(document, list) else document


def check(file: Path, seen: Any, *, update: bool) -> None:
    """Compares with the file, or writes it."""
    if update:
        file.write_text(yaml.safe_dump(seen, sort_keys=True, allow_unicode=True, width=120), "utf-8")
    assert seen == yaml.safe_load(file.read_text("utf-8")), (
        f"{file}: run pytest with --update-goldens and read the diff"
    )
