"""What the owner of an old database has, and what he is told."""

from tests.cli.homes import Ran

NAME, MIXED = "legacy-pre-pgvector", "legacy-pre-pgvector-mixed-dims"


def words(ran: Ran) -> str:
    """Return what was said on either channel, without its line breaks."""
    return " ".join((ran.out + ran.err).split())
