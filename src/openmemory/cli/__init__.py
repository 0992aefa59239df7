"""The command `openmemory`.

Modules are imported where a command needs them: `--help` and `settings` answer without numpy, FastAPI or the driver.
"""

INTERRUPTED = 130


def run() -> None:
    """Run the command line of this process; Ctrl-C ends it quietly, also while its modules are read."""
    try:
        from openmemory.cli.main import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
