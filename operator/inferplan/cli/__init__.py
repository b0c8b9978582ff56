"""The command line: one file per command, presentation only."""

from inferplan.cli.entry import main

__all__ = ["main"]
