"""Reads the shell scripts that start engines: which commands they run, and where each letter of them stands. Pure.

The scripts are parsed (tree-sitter-bash) and run in thought: variables, arguments and functions are followed, branches
are taken where their conditions are known. Nothing is executed.
"""

from inferplan.dialects.shell.script import Command, Script, read_script

__all__ = ["Command", "Script", "read_script"]
