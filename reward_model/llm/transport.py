"""One HTTP request to an endpoint: bytes out, bytes in, bounded in time and size, no secret in what is
said."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import math
import time
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from reward_model.errors import InputError
from reward_model.jsonl import one_line
from reward_model.llm.types import Endpoint

MAX_BODY = 8 << 20
"""Bytes of an answer, unpacked; more is no answer of a chat model."""
CONNECT_SECONDS = 15.0
STALL_SECONDS = 60.0
"""Seconds between two pieces of a body that has begun."""
HIDDEN = b"***"


class Reply(NamedTuple):
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No whole answer: ``kind`` is "timeout", "connection", "unreachable" or "oversized"."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Transport:
    """Connections to one endpoint. Made and closed within a running loop.

    Args:
        endpoint: where to.
        timeout: seconds for one request, all in all.

    Raises:
        InputError: ``[llm]`` isn't installed, or the address can't be used.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        try:
            import aiohttp
            from yarl import URL
        except ModuleNotFoundError:
            raise InputError(
                "asking a model needs aiohttp; install it with: pip install 'reward-model[llm]'"
            ) from None
        self._http = aiohttp
        self._timeout = timeout
        parts = urlsplit(endpoint.base_url)
        path = f"{parts.path.rstrip('/')}/chat/completions"
        bare = urlsplit(endpoint.identity)
        address = urlunsplit((bare.scheme, bare.netloc, path, parts.query, ""))
        try:
            self._url = URL(address)
        except ValueError:
            raise InputError(
                f"{one_line(endpoint.identity)}: is no usable address; check the base URL"
            ) from None
        self._proxy = _proxy(bare.scheme, bare.hostname or "")
        authorization = _authorization(endpoint)
        told = [value.partition(" ")[2] for value in authorization.values()]
        self._secrets = [text.encode("utf-8") for text in _spellings([*told, *endpoint.secrets])]
        # Held by the session, not by the frames that a traceback would show.
        self._session = aiohttp.ClientSession(
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"reward-model/{version('reward-model')}",
                **authorization,
            },
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout)),
        )

    async def post(self, body: bytes) -> Reply:
        """Send ``body`` once.

        Raises:
            TransportError: no whole answer came.
        """
        http = self._http
        try:
            async with self._session.post(
                self._url, data=body, allow_redirects=False, proxy=self._proxy
            ) as response:
                received = await self._body(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, headers, self._without_secrets(received))
        except TransportError:
            raise
        except http.ConnectionTimeoutError:
            reason, kind = "no connection in time", "unreachable"
        except TimeoutError:
            reason, kind = f"no whole answer within {self._timeout:g} s", "timeout"
        except http.ClientConnectorCertificateError:
            reason, kind = "its TLS certificate is not trusted", "unreachable"
        except http.ClientConnectorError as error:
            reason, kind = f"cannot be reached ({_cause(error.os_error)})", "unreachable"
        except http.ServerDisconnectedError:
            reason, kind = "closed the connection without an answer", "connection"
        except http.ClientPayloadError:
            reason, kind = "the answer broke off", "connection"
        except http.ClientOSError as error:
            reason, kind = f"the connection broke ({_cause(error)})", "connection"
        except (http.ClientError, ValueError) as error:
            reason, kind = f"no HTTP answer ({type(error).__name__})", "connection"
        # Not from the original: its text may hold the address with the key.
        raise TransportError(kind, reason) from None

    async def _body(self, response: Any) -> bytes:
        if (response.content_length or 0) > MAX_BODY:
            raise TransportError("oversized", f"an answer of {response.content_length:,} bytes")
        pieces: list[bytes] = []
        size = 0
        stall = min(STALL_SECONDS, self._timeout)
        async with asyncio.timeout(stall) as watch:
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > MAX_BODY:
                    raise TransportError("oversized", f"an answer of over {MAX_BODY:,} bytes")
                pieces.append(piece)
                watch.reschedule(asyncio.get_running_loop().time() + stall)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _without_secrets(self, body: bytes) -> bytes:
        """Some services repeat the key in their error message; the ledger must not."""
        for secret in self._secrets:
            if secret in body:
                body = body.replace(secret, HIDDEN)
        return body

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key is not None:
        return {"Authorization": f"Bearer {endpoint.api_key}"}
    parts = urlsplit(endpoint.base_url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}


def _spellings(secrets: Sequence[str]) -> list[str]:
    # Short ones would match by chance and garble answers; nobody's key is that short.
    known = [secret for secret in secrets if len(secret) >= 6]
    encoded = [base64.b64encode(secret.encode("utf-8")).decode("ascii") for secret in known]
    return list(dict.fromkeys([*known, *map(quote, known), *encoded]))


def _proxy(scheme: str, host: str) -> str | None:
    """The environment's proxy. Not aiohttp's ``trust_env``: that lets a .netrc replace the key."""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or type(error).__name__
    return one_line(str(text), 100)


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date); None: not said, or
    nonsense."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            value = float(text) / scale
        except ValueError:
            try:
                value = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
        if not math.isnan(value) and value < math.inf:
            return max(0.0, value)
    return None
