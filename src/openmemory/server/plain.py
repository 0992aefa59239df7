"""Connections that stay with HTTP, whatever else a client would rather speak."""

from openmemory.server.connections import BoundedConnection


class PlainConnection(BoundedConnection):
    """A connection on which an Upgrade is not heeded: its request is answered like any other (RFC 9110, 7.8)."""

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: any client can ask, and Uvicorn's hint to install a library is not for this operator."""
