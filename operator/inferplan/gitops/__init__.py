"""A plan through Git: finds a workload's manifest, edits it, commits, opens pull requests. I/O out.

`port.py` is what the rest of the operator sees; `edit/` decides what changes in which file, and is pure.
"""
