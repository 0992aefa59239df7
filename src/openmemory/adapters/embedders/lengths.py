"""Estimate how many tokens texts have, in thirds of a token; the estimate is rather too high."""

from collections.abc import Iterator, Sequence

import numpy as np

# The models of OpenAI read 8,192 tokens of a text.
_TEXT_THIRDS = 24_000
# OpenAI accepts 300,000 tokens a request, far more than this; self-hosted servers have a limit of time instead.
_BATCH_THIRDS = 200_000
_BATCH_TEXTS = 256
# Some models read only 256 tokens; if a text as short as this is refused, its length is not the reason.
_SHORT_THIRDS = 750

# Latin script has more than three characters a token, other scripts have one or more. A character beyond U+FFFF, such
# as an emoji or a rare ideograph, has tokens for its single bytes.
_LATIN_END, _PLANE_END = 0x250, 0x10000
_THIRDS_OF_LATIN, _THIRDS_OF_OTHERS, _THIRDS_BEYOND = 1, 3, 9


def beginning(text: str) -> str:
    """Return as much of the beginning of `text` as models read."""
    return _cut(text, _TEXT_THIRDS)


def shorter(text: str) -> Iterator[str]:
    """Yield ever shorter beginnings of `text`, each half as long as the one before; none of a short text."""
    size = thirds(text)
    while size > _SHORT_THIRDS:
        size //= 2
        yield _cut(text, size)


def thirds(text: str) -> int:
    """Return about how many thirds of a token `text` has."""
    return len(text) if text.isascii() else int(_sizes(text).sum())


def batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of the texts that are not blank, as many at a time as one request may hold."""
    batch: list[int] = []
    held = 0
    for place, text in enumerate(texts):
        if not text.strip():
            continue
        size = thirds(text)
        if batch and (len(batch) == _BATCH_TEXTS or held + size > _BATCH_THIRDS):
            yield batch
            batch, held = [], 0
        batch.append(place)
        held += size
    if batch:
        yield batch


def _cut(text: str, most: int) -> str:
    """Return the beginning of `text` that has at most so many thirds of a token."""
    text = text[:most]
    if text.isascii():
        return text
    return text[: int(np.searchsorted(np.cumsum(_sizes(text)), most, side="right"))]


def _sizes(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the thirds of a token of each character."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = np.where(points < _LATIN_END, _THIRDS_OF_LATIN, _THIRDS_OF_OTHERS)
    return np.where(points < _PLANE_END, sizes, _THIRDS_BEYOND)
