"""A phone as `sagashop phones` has many: it goes on and off line, drops what it has had, and fetches what it missed."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from simple_websocket import AioClient, ConnectionClosed
from simple_websocket import ConnectionError as NotConnected

from sagashop.cli.phone_memory import Memory
from sagashop.cli.traffic import Buyer
from sagashop.errors import SagashopError

PATHS = {"direct": "/api/notifications/mine", "broadcast": "/api/notifications/broadcasts"}
"""The two sequences of messages, and where a gap in each is filled."""
CATCH_UP_S = 3.0
"""Nothing came for so long, so nothing waits. What the greeting named and has not come is fetched."""
CONNECT_WITHIN_S = 10.0
LONGEST_PAUSE_S = 4.0
Message = dict[str, Any]


class Phone:
    """One device of a customer. `online` is switched from outside; `run` follows it."""

    def __init__(self, buyer: Buyer, device: Message) -> None:
        self._buyer, self.device_id = buyer, device["device_id"]
        self.memory = {kind: Memory(device["since"][kind]) for kind in PATHS}
        self.online = asyncio.Event()
        self.tally = Counter[str]()
        self._hello: Message = {}
        self._heard_s = 0.0

    async def run(self) -> None:
        """Connect whenever on line, until cancelled. Who cannot connect tries again, slower and slower."""
        pause_s = 0.2
        while True:
            await self.online.wait()
            began = time.monotonic()
            try:
                await self._connected()
            except (ConnectionClosed, NotConnected, SagashopError, OSError, TimeoutError):
                self.tally["broken"] += 1
            pause_s = 0.2 if time.monotonic() - began > 5 else min(LONGEST_PAUSE_S, pause_s * 2)
            if self.online.is_set():
                await asyncio.sleep(pause_s)

    async def _connected(self) -> None:
        socket = await asyncio.wait_for(connect(self._buyer, self.device_id), CONNECT_WITHIN_S)
        self.tally["connected"] += 1
        try:
            while self.online.is_set():
                text = await socket.receive(timeout=0.5)
                if text is None:
                    await self._look()
                else:
                    await self._hear(socket, json.loads(text))
        finally:
            with suppress(ConnectionClosed, OSError):
                await socket.close()

    async def _hear(self, socket: Any, frame: Message) -> None:
        if "hello" in frame:
            self._hello = frame["hello"]
        else:
            message = frame["message"]
            kind, number = message["kind"], message["number"]
            await self._fetch(kind, number - 1)
            self.tally[f"{kind} {'received' if self.memory[kind].hear(number) else 'repeated'}"] += 1
            if self.online.is_set():  # who drops out just here has it, and gets it again
                await socket.send(json.dumps({"ack": frame["tag"]}))
        self._heard_s = time.monotonic()

    async def _look(self) -> None:
        """Nothing comes: then what the greeting named is here, or must be fetched."""
        if time.monotonic() - self._heard_s > CATCH_UP_S:
            for kind, newest in self._hello.items():
                await self._fetch(kind, newest)

    async def _fetch(self, kind: str, last: int) -> None:
        """Ask for what is gone from the queue, up to this number, page by page; what does not come is missing.

        What a page has beyond it still waits in the queue, and is left to come from there.
        """
        memory, more = self.memory[kind], True
        while more and memory.top < last:
            items = (await asyncio.to_thread(_locked_get, self._buyer, PATHS[kind], memory.top))["items"]
            wanted = [message["number"] for message in reversed(items) if message["number"] <= last]
            self.tally[f"{kind} fetched"] += sum(map(memory.hear, wanted))
            more = bool(wanted)
        memory.pass_over(last)


class Socket(AioClient):  # type: ignore[misc]
    """The library's client, which looks at what came together with the server's consent only when more comes."""

    async def handshake(self) -> None:
        await super().handshake()
        self.connected = await self._handle_events()


def _locked_get(buyer: Buyer, path: str, after: int) -> Any:
    with buyer.lock:
        return buyer.shop.get(path, after=after)


async def connect(buyer: Buyer, device_id: str) -> Any:
    """The WebSocket of a device, in its owner's name."""
    url = buyer.shop.url.replace("http", "ws", 1) + f"/api/notifications/devices/{device_id}/socket"
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in buyer.shop.session.cookies)
    unchecked = None
    if url.startswith("wss"):  # a local stack signs for itself
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    return await Socket.connect(url, headers={"Cookie": cookies}, ssl_context=unchecked)
