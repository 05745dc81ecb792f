"""What travels between services: a typed message, and the envelope that carries it.

On the wire a message is one flat set of text fields (a Redis stream entry, or the headers and body of an AMQP message),
with the message itself as JSON in `data`, so that nested values survive the round trip and any tool can read an entry.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec

from sagashop.errors import MalformedMessage


class Message(msgspec.Struct):
    """Base of every event and command. The class name is the type on the wire.

    `channel` names the stream (or exchange and routing key) it travels on, as `owner.purpose`: `orders.events`.
    `version` goes up when a change is not readable by older code.
    """

    channel: ClassVar[str]
    version: ClassVar[int] = 1


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message with what every message carries.

    id:        the same for every copy of one message, for example `aggregate.sequence` of a recorded event
    time_ms:   when it was made, milliseconds since 1970, UTC
    producer:  the service that made it
    trace:     W3C `traceparent`, handed on from the message or request that caused this one; may be empty
    aggregate: whose history this event belongs to (`order:…`, `account:…`); empty where it belongs to none
    sequence:  its place in that history, from 1 without gaps; 0 where there is none
    """

    message: Message
    id: str
    time_ms: int
    producer: str
    trace: str = ""
    aggregate: str = ""
    sequence: int = 0

    def fields(self) -> dict[str, str]:
        """The flat text fields of the wire."""
        fields = {
            "type": type(self.message).__name__,
            "version": str(self.message.version),
            "id": self.id,
            "time_ms": str(self.time_ms),
            "producer": self.producer,
            "data": encode(self.message),
        }
        if self.trace:
            fields["trace"] = self.trace
        if self.aggregate:
            fields["aggregate"] = self.aggregate
            fields["sequence"] = str(self.sequence)
        return fields


_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> str:
    """JSON text of a message, the same bytes for the same values."""
    return _encoder.encode(message).decode()


class Catalogue:
    """The message types a reader understands, by their name on the wire."""

    def __init__(self, types: Iterator[type[Message]] | list[type[Message]]) -> None:
        self._types = {t.__name__: t for t in types}
        self._decoders = {name: msgspec.json.Decoder(t) for name, t in self._types.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._decoders

    def open(self, fields: Mapping[str, str]) -> Envelope:
        """The envelope in these wire fields.

        Raises:
            MalformedMessage: a field is missing, the type or its version is not known here, or the data does not fit.
        """
        try:
            if int(fields["version"]) > self._types[fields["type"]].version:
                raise MalformedMessage(f"version {fields['version']} of {fields['type']} is newer than this code")
            return Envelope(
                message=self._decoders[fields["type"]].decode(fields["data"]),
                id=fields["id"],
                time_ms=int(fields["time_ms"]),
                producer=fields["producer"],
                trace=fields.get("trace", ""),
                aggregate=fields.get("aggregate", ""),
                sequence=int(fields.get("sequence", "0")),
            )
        except KeyError as missing:
            raise MalformedMessage(f"field or type {missing} is missing or unknown") from missing
        except (ValueError, UnicodeError) as wrong:
            raise MalformedMessage(str(wrong)) from wrong


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A random 128-bit id as 32 hex digits."""
    return uuid.uuid4().hex
