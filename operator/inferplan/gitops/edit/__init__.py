"""What changes in which file of a repository so that one container gets other words. Pure; see `change.py`."""
