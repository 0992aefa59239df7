"""The room for bodies: how many bytes of them all tenants may have here, and how they share it."""

from collections import Counter

from openmemory.errors import Overloaded

FREE_BYTES = 64 * 1024
"""What of each body takes no room: a connection may hold as much in its buffers as it is."""


class Room:
    """The bytes of bodies that are here, from their arrival to their answer.

    No tenant takes more than it leaves: one alone half of the room, each of n a part of n + 1. So there is always some
    left for who comes next, however many fill theirs, and however long (Choudhury and Hahne, 1998, on switches).
    """

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._taken_bytes = Counter[str]()

    def body(self, tenant: str, promised_bytes: int) -> "BodyRoom":
        """Return the room of a body that is about to come, and says that it will have so many bytes (0: nothing)."""
        return BodyRoom(self, tenant, promised_bytes)

    def take(self, tenant: str, count: int) -> None:
        """Take room for a tenant; raises Overloaded."""
        if self._taken_bytes[tenant] + count > self._left_bytes - count:
            raise Overloaded("beside the bodies of the other tenants no more bytes of this one's fit here; try again")
        self._taken_bytes[tenant] += count
        self._left_bytes -= count

    def give_back(self, tenant: str, count: int) -> None:
        """Give back what a tenant took."""
        self._left_bytes += count
        self._taken_bytes[tenant] -= count
        if not self._taken_bytes[tenant]:
            del self._taken_bytes[tenant]


class BodyRoom:
    """The room that one body takes.

    What it promises it takes at once: it is refused before it is sent, and not for one that came after it.
    """

    def __init__(self, room: Room, tenant: str, promised_bytes: int) -> None:
        self._room = room
        self._tenant = tenant
        self._promised_bytes = promised_bytes
        self._taken_bytes = 0

    def grow(self, size: int) -> None:
        """Take room for a body of which `size` bytes are here; raises Overloaded."""
        if size <= FREE_BYTES:
            return
        more = max(size, self._promised_bytes) - FREE_BYTES - self._taken_bytes
        if more > 0:
            self._room.take(self._tenant, more)
            self._taken_bytes += more

    def give_back(self) -> None:
        """Give back all that it took."""
        self._room.give_back(self._tenant, self._taken_bytes)
        self._taken_bytes = 0
