"""Loopback addresses for nodes and pods: a /16 of 127.64.0.0/10 for each lab on the machine.

The kernel answers on all of 127.0.0.0/8, so an address needs no set-up and no rights. Which /16 a lab gets follows from
its state folder, so that it stays the same; a lock file keeps a second lab out of it as long as the first one runs.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_FIRST, _COUNT = 64, 64  # 127.64.0.0/16 to 127.127.0.0/16
_POD_BLOCK = 1  # pods from 127.N.1.0 on; 127.N.0.x are the nodes


class AddressesExhaustedError(RuntimeError):
    """Every /16 is taken by another lab, or every address of ours by a pod."""


def subnet_order(state: Path) -> Iterator[int]:
    """Yield the second bytes to try for a state folder, the most preferred one first."""
    digest = hashlib.sha256(str(state.resolve()).encode()).digest()
    start = int.from_bytes(digest[:4], "big") % _COUNT
    return (_FIRST + (start + step) % _COUNT for step in range(_COUNT))


class AddressPool:
    """The addresses of one lab; holds its lock file until closed."""

    def __init__(self, subnet: int, lock: IO[str]) -> None:
        self.subnet = subnet
        self._lock = lock
        self._taken: dict[str, str] = {}  # address to the owner's uid
        self._next = 0

    @classmethod
    def claim(cls, state: Path, locks: Path | None = None) -> "AddressPool":
        """Take the first free /16 for the state folder.

        Args:
            state: the lab's state folder.
            locks: the folder of the lock files; one of this user's in the temporary folder by default.

        Raises:
            AddressesExhaustedError: other labs hold them all.
        """
        folder = locks or Path(tempfile.gettempdir()) / f"inferplan-lab-addresses-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for subnet in subnet_order(state):
            lock = (folder / f"127.{subnet}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                return cls(subnet, lock)
        raise AddressesExhaustedError(f"all {_COUNT} address ranges of 127.64.0.0/10 are held by other labs")

    def node_address(self, place: int) -> str:
        """Return the address of the node with this number, from 0."""
        return f"127.{self.subnet}.0.{place + 1}"

    def take(self, owner: str, wanted: str = "") -> str:
        """Give the owner an address: the wanted one if it is ours and free, else the next free one.

        Raises:
            AddressesExhaustedError: there is none left.
        """
        if wanted.startswith(f"127.{self.subnet}.") and self._taken.get(wanted, owner) == owner:
            self._taken[wanted] = owner
            return wanted
        # Going round before reuse: an address that has just been given up may still be asked by a scraper.
        for _ in range(254 * 254):
            block, host = divmod(self._next, 254)
            self._next = (self._next + 1) % (254 * 254)
            address = f"127.{self.subnet}.{_POD_BLOCK + block}.{host + 1}"
            if address not in self._taken:
                self._taken[address] = owner
                return address
        raise AddressesExhaustedError(f"127.{self.subnet}.0.0/16 has no address left")

    def give_back(self, address: str) -> None:
        """Free a pod's address; an unknown one is no error."""
        self._taken.pop(address, None)

    def close(self) -> None:
        """Let another lab have the /16."""
        self._lock.close()
