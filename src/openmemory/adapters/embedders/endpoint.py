"""One server's `POST /embeddings`: its timeouts, its retries, and the errors for its failures."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Literal

import httpx2

from openmemory.errors import ConfigurationError, EmbedderUnavailable

TIMEOUT_S, PATIENCE_S = 15.0, 30.0
_ATTEMPTS = 4
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 20.0
_LONGEST_TOLD_S = 3600.0

BASE_URL_REMEDY = "check OM_OPENAI_BASE_URL, which goes up to and with /v1, and OM_EMBED_MODEL"
_REMEDIES = {
    401: "check OM_OPENAI_API_KEY",
    403: "check OM_OPENAI_API_KEY and what it may use",
    404: BASE_URL_REMEDY,
    429: "the quota is used up, or try again later",
}


# The answers to a text that is too long: OpenAI and vLLM give 400, TEI 413 or 422.
_OF_THE_BODY = {400, 413, 422}


class Refused(Exception):
    """The server refuses this body and may accept another; raise `problem` if it accepts none."""

    def __init__(self, status: int, problem: EmbedderUnavailable) -> None:
        super().__init__(status)
        self.status = status
        self.problem = problem


class TooLong(Exception):
    """An answer exceeds what may be read of it; raise `problem` if nothing shorter can be asked for."""

    def __init__(self, problem: EmbedderUnavailable) -> None:
        super().__init__()
        self.problem = problem


class Endpoint:
    """Posts bodies, and tries again after growing pauses if that can help.

    A whole answer has `timeout_s` to arrive. All attempts and pauses together have `patience_s`, since a request waits
    for them. Errors name the server and a remedy, but never the key, a text, or the server's own words, which may
    repeat either.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._url, self.shown = _addresses(base_url)
        self._host = self._url.netloc.decode()
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._sleep = sleep
        self._jitter = jitter
        self._client = httpx2.AsyncClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=timeout_s,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, body: bytes, most_bytes: int) -> bytes:
        """Return the body of the first answer with status 200; raises Refused, TooLong, EmbedderUnavailable.

        It gives up at once if the server asks for a longer wait than there is patience for, or if an answer exceeds
        `most_bytes`; no more than these are kept.
        """
        clock = asyncio.get_running_loop().time
        deadline_s, attempt = clock() + self._patience_s, 1
        while True:
            try:
                response, answer = await self._attempt(body, deadline_s - clock(), most_bytes)
            except (TimeoutError, httpx2.RequestError) as error:
                wait, problem = 0.0, self._unreached(error)
            else:
                if response.status_code == httpx2.codes.OK:
                    return answer
                wait = _retry_after(response)
                problem = self._refused(response.status_code, wait)
                if response.status_code in _OF_THE_BODY:
                    raise Refused(response.status_code, problem)
                if response.status_code != httpx2.codes.TOO_MANY_REQUESTS and not response.is_server_error:
                    raise problem
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            pause = max(wait, self._jitter() * min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (attempt - 1)))
            if attempt >= _ATTEMPTS or pause >= deadline_s - clock():
                raise problem
            await self._sleep(pause)
            attempt += 1

    async def _attempt(self, body: bytes, left_s: float, most_bytes: int) -> tuple[httpx2.Response, bytes]:
        # The client's own timeout restarts with each byte that arrives.
        async with (
            asyncio.timeout(min(self._timeout_s, left_s)),
            self._client.stream("POST", self._url, content=body) as response,
        ):
            return response, await self._read(response, most_bytes)

    async def _read(self, response: httpx2.Response, most_bytes: int) -> bytes:
        read = bytearray()
        async for part in response.aiter_bytes():
            read += part
            if len(read) > most_bytes:
                raise TooLong(self.unavailable(f"answers more than {most_bytes:,} bytes", BASE_URL_REMEDY))
        return bytes(read)

    def _unreached(self, error: TimeoutError | httpx2.RequestError) -> EmbedderUnavailable:
        late = isinstance(error, TimeoutError | httpx2.TimeoutException)
        how = "did not answer in time" if late else "cannot be reached"
        return self.unavailable(
            f"{how} ({type(error).__name__})",
            "start it, or check OM_OPENAI_BASE_URL",
            kind="timeout" if late else "unreached",
        )

    def _refused(self, status: int, wait_s: float) -> EmbedderUnavailable:
        default = "try again later" if status >= 500 else f"check OM_EMBED_MODEL, which is {self._model}"
        again_s = max(1, ceil(min(wait_s, _LONGEST_TOLD_S)))
        remedy = _REMEDIES.get(status, default)
        return self.unavailable(f"answered {status}", remedy, again_s, kind="status", status=status)

    def unavailable(
        self,
        problem: str,
        remedy: str = "check OM_EMBED_MODEL and the server",
        retry_after_s: int = 1,
        *,
        kind: Literal["status", "timeout", "unreached", "answer"] = "answer",
        status: int | None = None,
    ) -> EmbedderUnavailable:
        """Return the error for a `problem` of this server, with a remedy."""
        said = f"the embedding server {self.shown} {problem}: {remedy}"
        return EmbedderUnavailable(said, retry_after_s, kind=kind, host=self._host, status=status)


def _addresses(base_url: str) -> tuple[httpx2.URL, str]:
    """Return where to post, and the base as messages may show it: without user, password and query."""
    try:
        base = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        base = httpx2.URL()
    if base.scheme not in {"http", "https"} or not base.host:
        raise ConfigurationError("OM_OPENAI_BASE_URL is not an address: it is like http://localhost:11434/v1")
    post_to = base.copy_with(path=base.path.rstrip("/") + "/embeddings")
    return post_to, str(base.copy_with(userinfo=b"", query=None, fragment=None))


def _retry_after(response: httpx2.Response) -> float:
    """Return the seconds that the server asks to wait, given as such or as a date; 0 if it does not say."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
