"""A phone that is connected: messages out, acknowledgements in, until one of both sides hangs up.

→ {"hello": {"direct": 7, "broadcast": 2}}            the newest numbers, to notice what is missing
→ {"tag": 1, "message": {"kind": "direct", "number": 8, …}}
← {"ack": 1}                                           now RabbitMQ forgets it; without it, it comes again
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from sagashop.errors import NotReachable, Unavailable
from sagashop.rabbit.topology import Topology
from sagashop.web.websocket import GOING_AWAY, POLICY, TRY_AGAIN, Closed, WebSocket
from services.notifications.devices import Numbers
from services.notifications.line import Line, MadeAnew, Over
from services.notifications.switchboard import Switchboard

log = structlog.get_logger()
TAKEN_OVER, LOGGED_OUT = 4409, 4401
HAND_OVER_WITHIN_S = 5.0
LOOK_S = 0.2


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a phone ever says."""

    ack: int


_read_ack = msgspec.json.Decoder(Ack).decode
_encode = msgspec.json.Encoder().encode


class Phone:
    """One connection of one device.

    welcome: whether its customer is still logged in and has the device; asked every `look_s` seconds
    """

    def __init__(self, socket: WebSocket, line: Line, numbers: Numbers, welcome: Callable[[], bool],
                 look_s: float) -> None:  # fmt: skip
        self._socket, self.line, self._numbers = socket, line, numbers
        self._welcome, self._look_s = welcome, look_s

    def serve(self, before: Phone | None) -> None:
        """Talk until it is over. The connection of this device before this one is hung up first: its unacknowledged
        messages are back in the queue when this one begins.
        """
        if before is not None:
            before.line.end(TAKEN_OVER, "this device has connected again")
            before.line.closed.wait(HAND_OVER_WITHIN_S)
        sender = threading.Thread(target=self._send_all, name="phone", daemon=True)
        try:
            self.line.open()
            self._socket.send(_encode({"hello": self._numbers}).decode())
            sender.start()
            self._receive_all()
        except (NotReachable, Unavailable) as why:
            self._socket.close(TRY_AGAIN, str(why).split("\n")[0][:100])
        except Closed:
            pass
        finally:
            self.line.end(GOING_AWAY, "")

    def _receive_all(self) -> None:
        looked = time.monotonic()
        while True:
            text = self._socket.receive()
            if time.monotonic() - looked >= self._look_s:
                looked = time.monotonic()
                if not self._welcome():
                    self.line.end(LOGGED_OUT, "log in again")
            if text is None:
                continue
            try:
                self.line.acknowledge(_read_ack(text).ack)
            except msgspec.DecodeError:
                self.line.end(POLICY, 'say {"ack": tag}, and nothing else')
            except NotReachable:
                continue  # the line is broken, and the sender tells the phone

    def _send_all(self) -> None:
        """The only one who closes while the phone talks, so that what was sent before arrives before."""
        with suppress(Closed):
            while True:
                match self.line.next():
                    case Over(code, reason):
                        self._socket.close(code, reason)
                        return
                    case MadeAnew():
                        if not self._welcome():
                            self.line.remove()
                    case delivered:
                        again = ',"again":true' if delivered.again else ""
                        body = delivered.body.decode()
                        self._socket.send(f'{{"tag":{delivered.tag}{again},"message":{body}}}')


class Gateway:
    """All phones of this process, one for each device.

    part: the queue of a device
    """

    def __init__(self, board: Switchboard, prefetch: int) -> None:
        self._board, self._prefetch = board, prefetch
        self._phones = dict[str, Phone]()
        self._lock, self._stopping = threading.Lock(), False
        self._watching = False

    def serve(self, device_id: str, part: Topology, socket: WebSocket, numbers: Numbers,
              welcome: Callable[[], bool], look_s: float) -> None:  # fmt: skip
        """Serve a phone until it is over, instead of the one that was connected for this device."""
        phone = Phone(socket, Line(self._board, part, self._prefetch), numbers, welcome, look_s)
        with self._lock:
            before = self._phones.get(device_id)
            self._phones[device_id] = phone
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._let_go, name="gateway", daemon=True).start()
        try:
            if self._stopping:
                socket.close(GOING_AWAY, "this gateway stops")
            else:
                phone.serve(before)
        finally:
            with self._lock:
                if self._phones.get(device_id) is phone:
                    del self._phones[device_id]

    def close(self) -> None:
        """Let every phone go within a moment; each comes again, to the next process. It only sets a flag, so that a
        signal handler may call it.
        """
        self._stopping = True

    def _let_go(self) -> None:
        while not self._stopping:
            time.sleep(LOOK_S)
        with self._lock:
            phones = list(self._phones.values())
        for phone in phones:
            phone.line.end(GOING_AWAY, "this gateway stops")
