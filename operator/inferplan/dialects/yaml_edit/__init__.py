"""How edits of YAML text are placed: nodes, strings, blocks, lists. Pure; `yaml_text.py` puts them together."""
