"""The memory that request bodies may take, and how tenants share it."""

from collections import Counter

from openmemory.errors import Overloaded

FREE_BYTES = 64 * 1024
"""The part of each body that is not counted: a connection's buffers may hold as much anyway."""


class Room:
    """Counts the bytes of bodies from their arrival to their answer.

    No tenant takes more than it leaves free: alone it gets half of the room, as one of n it gets 1 / (n + 1). So some
    is left for the next tenant, however long the others fill theirs (Choudhury and Hahne, 1998, on switches).
    """

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._taken_bytes = Counter[str]()

    def body(self, tenant: str, promised_bytes: int) -> "BodyRoom":
        """Return the room of a body that is about to arrive; its header promises so many bytes (0: it says nothing)."""
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

    It takes all that its header promises at once: so it is refused early, and never because of a later body.
    """

    def __init__(self, room: Room, tenant: str, promised_bytes: int) -> None:
        self._room = room
        self._tenant = tenant
        self._promised_bytes = promised_bytes
        self._taken_bytes = 0

    def grow(self, size: int) -> None:
        """Take room for a body of which `size` bytes have arrived; raises Overloaded."""
        if size <= FREE_BYTES:
            return
        more = max(size, self._promised_bytes) - FREE_BYTES - self._taken_bytes
        if more > 0:
            self._room.take(self._tenant, more)
            self._taken_bytes += more

    def give_back(self) -> None:
        """Give back all that this body took."""
        self._room.give_back(self._tenant, self._taken_bytes)
        self._taken_bytes = 0
