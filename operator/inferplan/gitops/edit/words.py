"""Three ways that a repository's words can stand to a proposal: as before, as wanted, or otherwise; pure."""

from inferplan.gitops.failures import stale
from inferplan.gitops.port import Proposal

Words = tuple[str, ...]


def is_done(path: str, words: tuple[Words, Words], proposal: Proposal) -> bool:
    """Whether the repository says what the proposal asks for.

    Args:
        path: Where it says something.
        words: The container's command and args there.
        proposal: The proposal.

    Raises:
        GitOpsError: It says neither that, nor what the plan was made for.
    """
    if words == (proposal.after.command, proposal.after.args):
        return True
    expected = (proposal.before.command, proposal.before.args)
    for field, said, planned in zip(("command", "args"), words, expected, strict=True):
        if said != planned:
            raise stale(f'{path}: {field} of container "{proposal.container}": {_difference(said, planned)}')
    return False


def _difference(said: Words, planned: Words) -> str:
    """Where two lists of words part; of the words only flags are told, as values can be secret."""
    pairs = zip(said, planned, strict=False)
    index = next((number for number, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if index is None:
        return f"the repository has {len(said)} words, the workload {len(planned)}"
    shown = [_flag(words, index) for words in (said, planned)]
    return f"word {index + 1} is {shown[0]} in the repository, and {shown[1]} in the workload"


def _flag(words: Words, index: int) -> str:
    """A flag's name, or whose value a word may be."""
    word = words[index]
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        return f"{name[:60]}=…" if equals else name[:60]
    behind = words[index - 1].partition("=")[0][:60] if index and words[index - 1].startswith("--") else ""
    return f"another value behind {behind}" if behind else "another word"
