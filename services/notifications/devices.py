"""The devices of customers: each change with its place in the outbox, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from sagashop.bus import Bus
from sagashop.effects import Effects, Expect, Put
from sagashop.errors import Conflict, NotFound
from sagashop.messages import new_id, now_ms
from services.notifications import store
from services.notifications.messages import AddQueue, RemoveQueue
from services.notifications.store import COUNT, PHONES
from services.notifications.until import load, until_it_holds

LIST = "list"
T = TypeVar("T")


class NoDevice(NotFound):
    kind, title = "no-device", "You have no such device"


class TooManyDevices(Conflict):
    kind, title = "too-many-devices", "You have as many devices as one customer may have"


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """The last number of the customer's notices, and of the broadcasts; 0 where there is none."""

    direct: int
    broadcast: int


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device. It gets every message after the numbers in `since`, and none before."""

    device_id: str
    name: str
    registered_ms: int
    since: Numbers


_read_devices = msgspec.json.Decoder(list[Device]).decode


class _State(NamedTuple):
    """What a registration stands on, as it was read."""

    devices: list[Device]
    listed: str | None
    phones: str | None
    numbers: Numbers


class Devices:
    """Who has which devices. Every method raises Unavailable where redis-ledger does not answer.

    limit: devices of one customer
    """

    def __init__(self, bus: Bus, limit: int) -> None:
        self._bus, self._limit = bus, limit

    def of(self, customer_id: str) -> list[Device]:
        """The oldest first."""
        return self._state(customer_id).devices

    def numbers(self, customer_id: str) -> Numbers:
        """What the newest messages to this customer are numbered."""
        return self._state(customer_id).numbers

    def find(self, customer_id: str, device_id: str) -> Device:
        """Raises: NoDevice, where it is not one of this customer's."""
        for device in self.of(customer_id):
            if device.device_id == device_id:
                return device
        raise NoDevice

    def register(self, customer_id: str, name: str) -> Device:
        """Add a device. Its queue is made soon, by the relay, or when the device connects before that.

        The guards see to it that no notice and no broadcast falls between the numbers it is told and its queue.

        Raises:
            TooManyDevices: the customer has `limit` of them
        """
        device_id, when = new_id(), now_ms()

        def decide(state: _State) -> tuple[Effects, Device]:
            if len(state.devices) >= self._limit:
                raise TooManyDevices(f"{self._limit} devices. Remove one you do not use any more.")
            device = Device(device_id=device_id, name=name, registered_ms=when, since=state.numbers)
            effects = _change(customer_id, state, [*state.devices, device])
            return effects + Effects(emit=[AddQueue(device_id=device_id, customer_id=customer_id)]), device

        return self._commit(customer_id, decide)

    def remove(self, customer_id: str, device_id: str) -> None:
        """Remove a device; its queue, with what waits in it, goes soon.

        Raises:
            NoDevice: it is not one of this customer's
        """

        def decide(state: _State) -> tuple[Effects, None]:
            left = [device for device in state.devices if device.device_id != device_id]
            if len(left) == len(state.devices):
                raise NoDevice
            return _change(customer_id, state, left) + Effects(emit=[RemoveQueue(device_id=device_id)]), None

        self._commit(customer_id, decide)

    def _commit(self, customer_id: str, decide: Callable[[_State], tuple[Effects, T]]) -> T:
        return until_it_holds(self._bus, lambda: decide(self._state(customer_id)))

    def _state(self, customer_id: str) -> _State:
        keys = [store.devices_key(customer_id), store.count_key(customer_id), store.broadcast_count_key()]
        listed, count, broadcasts = (row for row in load(self._bus, keys))
        numbers = Numbers(direct=int(count.get(COUNT, 0)), broadcast=int(broadcasts.get(COUNT, 0)))
        return _State(_read_devices(listed.get(LIST, "[]")), listed.get(LIST), count.get(PHONES), numbers)


def _change(customer_id: str, state: _State, devices: list[Device]) -> Effects:
    """The list as it is to be, where nothing has changed since: no device, no notice, no broadcast."""
    listed, count = store.devices_key(customer_id), store.count_key(customer_id)
    return Effects(
        write=[
            Put(listed, {LIST: msgspec.json.encode(devices).decode()}),
            Put(count, {PHONES: len(devices)}),
        ],
        expect=[
            Expect(listed, LIST, state.listed),
            Expect(count, PHONES, state.phones),
            Expect(count, COUNT, state.numbers.direct or None),
            Expect(store.broadcast_count_key(), COUNT, state.numbers.broadcast or None),
        ],
    )
