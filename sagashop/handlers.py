"""Which function decides about which message, and which rows it needs to decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sagashop.effects import Effects, Rows
from sagashop.messages import Catalogue, Envelope, Message

Decide = Callable[[Any, Any], Effects]


class Handlers:
    """The messages one service handles.

    keys: the hashes a decision about this message needs; the worker loads those of a whole batch in one round trip
    view: turns the rows into the state the handler reads (a `Shelves`, an `Account`)

    A handler is pure: (message, state) in, effects out. It may run more than once for one message, and its effects
    take hold once.
    """

    def __init__(self, *, keys: Callable[[Any], Iterable[str]], view: Callable[[Any, Rows], Any]) -> None:
        self.keys = keys
        self._view = view
        self._decide: dict[type[Message], Decide] = {}
        self._sees_envelope: set[type[Message]] = set()
        self._replayed: set[type[Message]] = set()

    def on(
        self, *types: type[Message], with_envelope: bool = False, only_replayed: bool = False
    ) -> Callable[[Decide], Decide]:
        """Register the decorated function for these message types.

        with_envelope: give it the `Envelope` instead of the bare message, for its time or producer
        only_replayed: their channel is somebody else's to read; they come here as replayed dead letters
        """

        def register(decide: Decide) -> Decide:
            for message_type in types:
                if message_type in self._decide:
                    raise ValueError(
                        f"{message_type.__name__} is handled twice, by {self._decide[message_type]} and {decide}"
                    )
                self._decide[message_type] = decide
                if only_replayed:
                    self._replayed.add(message_type)
                if with_envelope:
                    self._sees_envelope.add(message_type)
            return decide

        return register

    @property
    def types(self) -> list[type[Message]]:
        return list(self._decide)

    @property
    def channels(self) -> list[str]:
        """The channels these messages are read from, each once."""
        return sorted({t.channel for t in self._decide.keys() - self._replayed})

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.types)

    def decide(self, message: Message | Envelope, rows: Rows) -> Effects:
        """The effects of one message on these rows; a bare message will do where no handler asks for its envelope."""
        bare = message.message if isinstance(message, Envelope) else message
        seen = message if type(bare) in self._sees_envelope else bare
        return self._decide[type(bare)](seen, self._view(bare, rows))
