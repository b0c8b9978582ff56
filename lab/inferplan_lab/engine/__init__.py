"""A discrete-event stand-in for a vLLM server: its flags, its scheduler, its memory budget, its metrics page.

What it is faithful to, and what it is not: docs/decisions/0005-the-engine-simulator.md.
"""
