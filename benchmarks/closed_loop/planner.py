"""The real command, `inferplan plan`, on the case's objects and pages."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class PlannerError(RuntimeError):
    """The command ended with an error. ``str`` is what it said."""


@dataclass(frozen=True)
class Planner:
    """Which InferPlan plans.

    Attributes:
        source: its source root, first on PYTHONPATH.
        python: the interpreter.
    """

    source: Path
    python: str = sys.executable

    def plan(self, folder: Path, objects: Mapping[str, Mapping[str, Any]], pages: Sequence[str]) -> dict[str, Any]:
        """Plans from files.

        Args:
            folder: takes the files, so that a person can run the same again.
            objects: documents by file name.
            pages: /metrics pages, oldest first.

        Returns:
            The OptimizationPlan.

        Raises:
            PlannerError: the command failed.
        """
        words = [self.python, "-m", "inferplan", "plan"]
        for name, document in objects.items():
            (folder / name).write_text(yaml.safe_dump(dict(document), sort_keys=False), "utf-8")
            words += ["-f", name]
        for number, page in enumerate(pages, 1):
            (folder / f"{number}.txt").write_text(page, "utf-8")
            words += ["--metrics", f"{number}.txt"]
        environment = {**os.environ, "PYTHONPATH": str(self.source.absolute())}
        done = subprocess.run(
            [*words, "-o", "json"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PlannerError(done.stderr.strip())
        (folder / "plan.json").write_text(done.stdout, "utf-8")
        found: dict[str, Any] = json.loads(done.stdout)
        return found
