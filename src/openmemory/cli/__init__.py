"""The command `openmemory`."""

from openmemory.cli.main import main

__all__ = ["main"]
