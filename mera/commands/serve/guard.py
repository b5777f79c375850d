"""Who may ask: this machine alone, with the token, under the server's own name; and what browsers are told.

Binding to 127.0.0.1 keeps other machines out, but not pages that a browser here has open: a name on the internet may
be made to mean 127.0.0.1 (DNS rebinding). So the Host header must be this server's own, and every request needs the
token, in its path (`/TOKEN/...`, the page's address) or as `Authorization: Bearer TOKEN`.
"""

import hmac
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mera.system.errors import without_values

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 8 * 1024 * 1024
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""On every answer."""


class TooLarge(Exception):
    """A body grew beyond LARGEST_BODY."""


class Guard:
    """ASGI middleware around all else: what does not pass here reaches no endpoint."""

    def __init__(self, inner: Application, token: str, port: int):
        self._inner, self._token = inner, token.encode()
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}".encode() for name in names}
        if port == 80:  # which browsers leave out
            self._hosts |= {name.encode() for name in names}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._inner(scope, receive, send)
        if scope["type"] != "http":  # no websockets here
            return await send({"type": "websocket.close", "code": 1008})
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = {name.encode() for name in HEADERS}
                others = [(name, value) for name, value in message["headers"] if name.lower() not in own]
                message["headers"] = [*others, *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is not None:
                await _answer(send_with_headers, *refusal)
            elif scope["path"].encode() == b"/" + self._token:  # relative addresses in the page need the slash
                await _redirect(send_with_headers, self._token + b"/")
            else:
                await self._inner(self._without_token(scope), _counting(receive), send_with_headers)
        except TooLarge:
            if not started:
                await _answer(send_with_headers, 413, f"a request holds at most {LARGEST_BODY:,} bytes")
        except Exception as error:
            # Its message may hold what was entered; a server that logs it would keep it.
            print(without_values(error), file=sys.stderr)
            if not started:
                await _answer(send_with_headers, 500, "something failed here; what was entered was not kept")

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if headers.get(b"host", b"").lower() not in self._hosts:
            return 421, "this server answers to 127.0.0.1 and localhost at its own port alone"
        if b"origin" in headers and headers[b"origin"].lower() not in self._origins:
            return 403, "requests of other pages are refused"
        if not self._has_token(scope, headers):
            return 401, "the token is missing or wrong: use the address that mera serve printed"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return 413, f"a request holds at most {LARGEST_BODY:,} bytes"
        return None

    def _has_token(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        in_path = _first_part(scope["path"])
        # Both are compared, each in constant time.
        return bool(hmac.compare_digest(bearer, self._token) | hmac.compare_digest(in_path, self._token))

    def _without_token(self, scope: Scope) -> Scope:
        first = _first_part(scope["path"])
        if not hmac.compare_digest(first, self._token):
            return scope
        path = scope["path"][1 + len(first) :] or "/"
        return {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}


def _first_part(path: str) -> bytes:
    return path.removeprefix("/").split("/", 1)[0].encode("utf-8", "surrogateescape")


def _counting(receive: Receive) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > LARGEST_BODY:
            raise TooLarge
        return message

    return counted


async def _redirect(send: Send, place: bytes) -> None:
    headers = [(b"location", b"/" + place), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
