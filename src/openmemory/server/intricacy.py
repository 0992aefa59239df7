"""How much a JSON reader would have to make of a body, told without reading it."""

import numpy as np

from openmemory.errors import TooLarge

# A list or an object takes a JSON reader some hundred bytes of memory and far more time than a number or a text. A full
# batch has a hundred for each memory.
_LISTS_MOST = 100_000
_SHORT_BYTES = _LISTS_MOST  # each takes one byte at least
_WITHOUT_CASE = np.uint8(0xDF)  # "{" becomes "[" by it, and nothing else does
_PIECE_BYTES = 256 * 1024  # small enough for what is made of it to stay in the processor's cache


def refuse_intricate(body: bytes, values_most: int) -> None:
    """Raise TooLarge for JSON that would keep its reader, and with it every tenant, busy for seconds.

    To tell takes some 0.3 s for 32 MiB at most, whatever the body holds.
    """
    if len(body) <= _SHORT_BYTES or _is_plain(body, values_most):
        return
    lists, commas = outside_strings(body)
    if lists > _LISTS_MOST:
        raise TooLarge(f"the body has more than {_LISTS_MOST:,} lists and objects; send less at once")
    if commas > values_most:
        raise TooLarge(f"the body has more than {values_most:,} values; send less at once")


def _is_plain(body: bytes, values_most: int) -> bool:
    """Return whether a body is not intricate whatever its strings hold, which most are and which shows sooner."""
    characters = np.frombuffer(body, np.uint8)
    lists = commas = 0
    for start in range(0, len(characters), _PIECE_BYTES):
        piece = characters[start : start + _PIECE_BYTES]
        lists += int(np.count_nonzero((piece & _WITHOUT_CASE) == ord("[")))
        commas += int(np.count_nonzero(piece == ord(",")))
    return lists <= _LISTS_MOST and commas <= values_most


def outside_strings(body: bytes) -> tuple[int, int]:
    """Return how many lists and objects begin outside the strings of a JSON text, and how many commas stand there."""
    # Pairs first: the second backslash of one escapes no quote.
    plain = np.frombuffer(body.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    lists = commas = 0
    in_string = np.False_
    for start in range(0, len(plain), _PIECE_BYTES):
        piece = plain[start : start + _PIECE_BYTES]
        quotes = piece == ord('"')
        quotes[0] ^= in_string
        inside = np.logical_xor.accumulate(quotes)
        in_string = inside[-1]
        lists += int(np.count_nonzero(((piece == ord("[")) | (piece == ord("{"))) & ~inside))
        commas += int(np.count_nonzero((piece == ord(",")) & ~inside))
    return lists, commas
