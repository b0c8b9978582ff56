"""The pool of KV blocks, with blocks shared between requests that begin alike."""

from collections import OrderedDict
from collections.abc import Sequence


def chain(previous: int, content: object) -> int:
    """The key of a full block: its content and everything in front of it.

    Args:
        previous: the key of the block in front, 0 for the first.
        content: something hashable that stands for the block's tokens.

    Returns:
        A key that is equal for equal beginnings, within one process.
    """
    return hash((previous, content))


def prompt_keys(tokens: Sequence[int], block_tokens: int) -> tuple[int, ...]:
    """The keys of a prompt's full blocks.

    Args:
        tokens: the prompt.
        block_tokens: tokens in a block.

    Returns:
        One key for each full block.
    """
    keys: list[int] = []
    for end in range(block_tokens, len(tokens) + 1, block_tokens):
        keys.append(chain(keys[-1] if keys else 0, tuple(tokens[end - block_tokens : end])))
    return tuple(keys)


class BlockPool:
    """Blocks 1 to N-1; block 0, the null block, is never handed out.

    A block is in use (counted by its users) or free. A free block with a key keeps its content until it is
    taken: the one that became free first is taken first.
    """

    def __init__(self, blocks: int, *, caching: bool) -> None:
        self._caching = caching
        self._free: OrderedDict[int, None] = OrderedDict((block, None) for block in range(1, blocks))
        self._users: dict[int, int] = {}
        self._key_of: dict[int, int] = {}
        self._block_of: dict[int, int] = {}
        self.usable_blocks = max(blocks - 1, 0)

    @property
    def free_blocks(self) -> int:
        """Blocks that can be taken, with or without content."""
        return len(self._free)

    @property
    def used_blocks(self) -> int:
        """Blocks that at least one request holds."""
        return len(self._users)

    @property
    def usage(self) -> float:
        """The share of usable blocks in use."""
        return self.used_blocks / self.usable_blocks if self.usable_blocks else 0.0

    def match(self, keys: Sequence[int]) -> list[int]:
        """The cached blocks of the longest known beginning.

        Args:
            keys: of a request's full blocks.

        Returns:
            Blocks, not yet held.
        """
        found: list[int] = []
        for key in keys if self._caching else ():
            block = self._block_of.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def free_among(self, blocks: Sequence[int]) -> int:
        """How many of these blocks are free: holding them takes that many from the free ones.

        Args:
            blocks: from :meth:`match`.

        Returns:
            A count.
        """
        return sum(1 for block in blocks if block not in self._users)

    def hold(self, blocks: Sequence[int]) -> None:
        """Add one user to each block.

        Args:
            blocks: from :meth:`match`.
        """
        for block in blocks:
            self._free.pop(block, None)
            self._users[block] = self._users.get(block, 0) + 1

    def take(self, count: int) -> list[int] | None:
        """Hand out free blocks; what they cached is forgotten.

        Args:
            count: how many.

        Returns:
            The blocks, or None when there are too few; then nothing changes.
        """
        if count > len(self._free):
            return None
        taken: list[int] = []
        for _ in range(count):
            block, _none = self._free.popitem(last=False)
            key = self._key_of.pop(block, None)
            if key is not None:
                del self._block_of[key]
            self._users[block] = 1
            taken.append(block)
        return taken

    def remember(self, block: int, key: int) -> None:
        """Make a full block findable. A key that is known already keeps its block.

        Args:
            block: a block in use.
            key: of its content.
        """
        if self._caching and block not in self._key_of and key not in self._block_of:
            self._key_of[block] = key
            self._block_of[key] = block

    def release(self, blocks: Sequence[int]) -> None:
        """Take one user from each block. The last of a request is freed first, so beginnings live longest.

        Args:
            blocks: of one request, in order.
        """
        for block in reversed(blocks):
            self._users[block] -= 1
            if not self._users[block]:
                del self._users[block]
                self._free[block] = None
                if block not in self._key_of:
                    self._free.move_to_end(block, last=False)
