"""HTTP replies of bounded size: what a server sends is unpacked piece by piece and counted before it is kept.

A reply of 1.5 MB can be 4 GB once it is unpacked. Redirects are not followed: they would take a request, and its
price, to somebody whom nobody named.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import Any

from srt.llm.failures import SHORT_KEY, RefusedError
from srt.storage.errors import InputError

MB = 10**6
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # variables of the environment, in any case
GZIP = b"\x1f\x8b"
GZIP_WINDOW = zlib.MAX_WBITS | 16
PIECE = 2**20  # bytes that are unpacked at a time
ABOUT_BYTES = ("content-encoding", "content-length", "transfer-encoding")  # headers that a plain body has no use for


def client(most_mb: int, key: str, **more: Any) -> Any:
    """An asynchronous HTTP client for the library `openai`, which reads no reply beyond `most_mb` MB.

    A longer one is a RefusedError, as it would be as long the next time. A streamed reply is its reader's to bound,
    unless it is an error's. Where a server
    sends the key back, whatever in, nobody behind this client sees it.

    InputError for a proxy of the environment that is of no use.
    """
    import httpx2
    import openai

    secret = key.encode() if len(key) >= SHORT_KEY else b""

    class Client(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            reply = await super().send(request, stream=True, **options)
            return reply if stream and reply.is_success else await _read(reply, most_mb, secret)

    try:
        return Client(follow_redirects=False, **more)
    except (ImportError, ValueError, httpx2.InvalidURL):  # whose texts may show a password
        found = " or ".join(name for name in os.environ if name.lower() in PROXIES) or "the proxy of the environment"
        raise InputError(f"{found}: expected the address of a proxy as http(s)://HOST:PORT") from None


class Bound:
    """Counts pieces as they come, and raises RefusedError for the one that is too much."""

    def __init__(self, most_mb: int) -> None:
        self.most_mb, self.size = most_mb, 0

    def __call__(self, piece: bytes) -> bytes:
        """The piece itself."""
        self.size += len(piece)
        if self.size > self.most_mb * MB:
            raise RefusedError(f"a reply beyond {self.most_mb} MB, unpacked (execution.reply_mb)")
        return piece


async def _read(reply: Any, most_mb: int, secret: bytes) -> Any:
    """The same reply with its content, which is plain."""
    bound = Bound(most_mb)
    try:
        content = b"".join([bound(piece) async for piece in reply.aiter_bytes()])
    finally:
        await reply.aclose()
    if content.startswith(GZIP):  # some servers pack and do not say so
        content = b"".join(map(Bound(most_mb), unpacked(content)))
    if secret:
        content = content.replace(secret, b"(key)")
    plain = [(name, value) for name, value in reply.headers.multi_items() if name.lower() not in ABOUT_BYTES]
    more = {"request": reply.request, "extensions": reply.extensions}
    return type(reply)(reply.status_code, headers=plain, content=content, **more)


def unpacked(packed: bytes) -> Iterator[bytes]:
    """What gzip packed, of all its members, in pieces; what is no gzip as it is, which its reader will refuse."""
    rest = packed
    while rest:
        member = zlib.decompressobj(GZIP_WINDOW)
        try:
            while rest and not member.eof:
                yield member.decompress(rest, PIECE)
                rest = member.unconsumed_tail
        except zlib.error:
            yield packed
            return
        rest = member.unused_data.lstrip(b"\0")
