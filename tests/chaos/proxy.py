"""A TCP proxy before Redis that loses replies: the command is carried out, and its sender never learns of it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65_536


class LossyProxy:
    """Passes everything on, except that one in `one_in` replies to the `words` is dropped and its connection closed.

    url:   of the server, as a client would get it
    words: commands whose replies may be lost, for example `EVALSHA`
    lost:  how many were
    """

    def __init__(self, url: str, *, words: Sequence[str], one_in: int, seed: int) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._words, self._one_in = [word.encode() for word in words], one_in
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        login = parts.netloc.rpartition("@")[0]
        where = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=f"{login}@{where}" if login else where).geturl()
        self.lost, self.active = 0, True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                _Connection(self, client, socket.create_connection(self._server))

    def loses(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost."""
        if not self.active or not any(word in request for word in self._words):
            return False
        with self._lock:
            if self._chance.randrange(self._one_in):
                return False
            self.lost += 1
            return True


class _Connection:
    """Two threads, one for each direction. What was asked last decides about the reply."""

    def __init__(self, proxy: LossyProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._asked = b""
        for pump in (self._requests, self._replies):
            threading.Thread(target=self._until_closed, args=(pump,), daemon=True).start()

    def _until_closed(self, pump: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            pump()
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _requests(self) -> None:
        while data := self._client.recv(CHUNK):
            self._asked = data
            self._server.sendall(data)

    def _replies(self) -> None:
        while data := self._server.recv(CHUNK):
            asked, self._asked = self._asked, b""
            if self._proxy.loses(asked):
                return
            self._client.sendall(data)
