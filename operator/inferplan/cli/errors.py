"""The two ways in which a command can fail on purpose."""


class BadInputError(Exception):
    """What the user gave cannot be used.

    Attributes:
        lines: What is wrong, one line each: file, document, field, value, what is allowed.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class CannotRunError(Exception):
    """The input is fine, but the command cannot do its work here; one line says why."""


class ChangedMeanwhileError(CannotRunError):
    """What was to be changed is another version by now."""
