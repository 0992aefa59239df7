"""The command `openmemory`.

Modules are imported where a command needs them: `--help` and `settings` answer without numpy, FastAPI or the driver.
"""

from openmemory.cli.main import main

__all__ = ["main"]
