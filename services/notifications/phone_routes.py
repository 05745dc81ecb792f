"""Devices of customers and broadcasts over HTTP. The gateway (live.py) is where phones connect."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint
from msgspec import Meta, Struct

from sagashop.errors import Forbidden, NotLoggedIn, Unavailable
from sagashop.web.auth import require_customer, require_login, require_operator
from sagashop.web.inputs import Answer, Input, accepts
from services.notifications.broadcasts import Broadcasts
from services.notifications.devices import Device, Devices, NoDevice, TooManyDevices
from services.notifications.store import Broadcast

LOCATION = "/api/notifications/devices/{}"
Number = Annotated[int, Meta(ge=0, le=2**53)]


class NewDevice(Input, frozen=True, kw_only=True):
    """What a customer calls the device."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class DeviceList(Struct, frozen=True, kw_only=True):
    """The oldest first."""

    items: list[Device]


class NewBroadcast(Input, frozen=True, kw_only=True):
    """What every phone is told."""

    text: Annotated[str, Meta(min_length=1, max_length=500)]


class After(Input, frozen=True, kw_only=True):
    """`after`: the last number that is known already. The first page after it is given, without it the newest."""

    after: Number | None = None


class BroadcastList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[Broadcast]


def devices(registry: Devices) -> Blueprint:
    """The customer's own devices."""
    routes = Blueprint("devices", __name__)
    problems = [NotLoggedIn, Forbidden, Unavailable]

    @routes.post("/api/notifications/devices")
    @accepts(json=NewDevice, answers={201: Device}, problems=[*problems, TooManyDevices])
    def register(json: NewDevice) -> Answer:
        """Register a device. It gets what comes after the numbers in `since`."""
        device = registry.register(require_customer().user_id, json.name)
        return device, 201, {"Location": LOCATION.format(device.device_id)}

    @routes.get("/api/notifications/devices")
    @accepts(answers=DeviceList, problems=problems)
    def everything() -> Answer:
        return DeviceList(items=registry.of(require_customer().user_id))

    @routes.get("/api/notifications/devices/<device_id>")
    @accepts(answers=Device, problems=[*problems, NoDevice])
    def one(device_id: str) -> Answer:
        return registry.find(require_customer().user_id, device_id)

    @routes.delete("/api/notifications/devices/<device_id>")
    @accepts(answers={204: None}, problems=[*problems, NoDevice])
    def remove(device_id: str) -> Answer:
        """Remove a device, its queue, and what waits in it."""
        registry.remove(require_customer().user_id, device_id)
        return "", 204

    return routes


def broadcasts(desk: Broadcasts) -> Blueprint:
    """Messages to every phone."""
    routes = Blueprint("broadcasts", __name__)

    @routes.post("/api/notifications/broadcasts")
    @accepts(json=NewBroadcast, answers={202: Broadcast}, problems=[NotLoggedIn, Forbidden, Unavailable])
    def send(json: NewBroadcast) -> Answer:
        """Tell every phone. Sent twice, it is another broadcast."""
        require_operator()
        return desk.send(json.text), 202

    @routes.get("/api/notifications/broadcasts")
    @accepts(query=After, answers=BroadcastList, problems=[NotLoggedIn, Unavailable])
    def missed(query: After) -> Answer:
        """The last 100; or, page by page, those of the last 1,000 after a number: a phone that has noticed a gap
        fetches them.
        """
        require_login()
        return BroadcastList(items=desk.page(query.after))

    return routes
