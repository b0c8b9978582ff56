"""How much work one script may be. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inferplan.dialects.shell.errors import ShellError

MAX_STEPS = 50_000
"""Statements, words and pieces that reading one script may take: far more than scripts have (a launch script of 190
lines takes about 1,500), and an end for functions that call themselves."""
MAX_DEPTH = 40
"""Functions, evaluated strings and substitutions inside each other: a few in real scripts; keeps clear of Python's
own limit of 1,000 frames."""


@dataclass(slots=True)
class Budget:
    """What is left of the steps that a script may take; shared by all branches."""

    steps: int = MAX_STEPS
    depth: int = 0

    def spend(self, steps: int = 1) -> None:
        """Takes steps.

        Raises:
            ShellError: None are left.
        """
        self.steps -= steps
        if self.steps < 0:
            raise ShellError("the script takes too many steps to be read")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Goes one level down: into a function, a string or a substitution.

        Raises:
            ShellError: That is too deep.
        """
        if self.depth >= MAX_DEPTH:
            raise ShellError("functions, strings or substitutions of the script are nested too deeply")
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
