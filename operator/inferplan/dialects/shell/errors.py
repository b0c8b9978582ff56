"""Why a script, or the rest of it, is not read."""


class ShellError(Exception):
    """A script that is not read.

    Args:
        reason: One sentence for people.
        line: The script's line, counted from 1; 0 where it is the whole script.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
