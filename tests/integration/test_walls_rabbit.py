"""The walls on RabbitMQ: every service logs in as itself and tries the doors of all, as the table opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from deploy.walls import WALLS
from deploy.walls_rabbit import PARTS, definitions, everything, password_variable
from sagashop.rabbit.events import EVENTS, inbox_queue
from sagashop.rabbit.layout import dead_queue, work_exchange
from sagashop.rabbit.topology import Mismatch, declare
from services.notifications.mobile import BROADCAST, DIRECT, device_part
from tests.rabbit import RabbitServer
from tests.servers import eventually

pytestmark = pytest.mark.feature("F33")
ACCESS_REFUSED = 403
CHANNELS = [f"{service}.{purpose}" for service in PARTS for purpose in ("events", "commands", "behaviour")]


class Visitor:
    """One service's log-in. A refusal closes the channel, so each try has its own."""

    def __init__(self, server: RabbitServer, service: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(server.url(service)))

    def may(self, method: str, *arguments: Any, **options: Any) -> bool:
        channel = self._connection.channel()
        channel.confirm_delivery()
        try:
            getattr(channel, method)(*arguments, **options)
        except ChannelClosedByBroker as closed:
            if closed.reply_code != ACCESS_REFUSED:
                raise
            return False
        except pika.exceptions.UnroutableError:
            return True
        channel.close()
        return True

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(params=list(PARTS))
def visitor(emptied_rabbit: RabbitServer, request: pytest.FixtureRequest) -> Iterator[tuple[str, Visitor]]:
    made = Visitor(emptied_rabbit, request.param)
    yield request.param, made
    made.close()


def test_a_service_publishes_only_what_is_its_own_and_what_it_tells(visitor: tuple[str, Visitor]) -> None:
    service, who = visitor
    done = {c for c in CHANNELS if who.may("basic_publish", EVENTS, f"{c}.OnTrial", b"", mandatory=True)}
    assert done == {f"{service}.events", f"{service}.behaviour", *WALLS[service].tells}


def test_orders_alone_sends_commands_and_they_arrive(emptied_rabbit: RabbitServer) -> None:
    sent = set()
    for service in PARTS:
        who = Visitor(emptied_rabbit, service)
        sent |= {(service, to) for to in PARTS if who.may("basic_publish", EVENTS, f"{to}.commands.OnTrial", b"")}
        who.close()
    assert sent == {("orders", "payments"), ("orders", "fulfillment")}
    wanted = {service: int(service in ("payments", "fulfillment")) for service in PARTS}
    eventually(lambda: {service: emptied_rabbit.depth(inbox_queue(service)) for service in PARTS} == wanted)


def test_a_service_binds_its_queue_only_to_what_it_hears(visitor: tuple[str, Visitor]) -> None:
    service, who = visitor
    open_to = {f"{service}.commands", *WALLS[service].hears}
    queue = inbox_queue(service)
    wrong = []
    for channel in CHANNELS:
        key = f"{channel}.OnTrial"
        if who.may("queue_bind", queue, EVENTS, key) != (channel in open_to):
            wrong.append(channel)
        elif channel in open_to:
            who.may("queue_unbind", queue, EVENTS, key)
    assert wrong == []
    assert not who.may("queue_bind", queue, EVENTS, "#"), "everything at once"


def test_a_service_reads_writes_and_declares_only_what_begins_with_its_name(visitor: tuple[str, Visitor]) -> None:
    service, who = visitor
    for owner in PARTS:
        mine = owner == service
        assert who.may("basic_get", dead_queue(owner), auto_ack=False) == mine
        assert who.may("basic_consume", inbox_queue(owner), lambda *_: None) == mine
        assert who.may("basic_publish", work_exchange(owner), "no-such-queue", b"") == mine
        assert who.may("queue_declare", f"{owner}.trial") == mine
        assert who.may("queue_delete", f"{owner}.trial") == mine
        assert who.may("exchange_declare", f"{owner}.trial.exchange") == mine
        assert who.may("exchange_delete", f"{owner}.trial.exchange") == mine


@pytest.fixture
def device(rabbit_server: RabbitServer) -> Iterator[str]:
    """The queue of a phone, declared by who owns it, with a message in it."""
    part = device_part("on-trial", "customer-on-trial")
    declare(rabbit_server.url("notifications"), "test", part)
    queue = part.queues[0].name
    with rabbit_server.channel("notifications") as channel:
        channel.basic_publish(DIRECT, "on-trial", b"private")
    eventually(lambda: rabbit_server.depth(queue) == 1)
    yield queue
    with rabbit_server.channel() as channel:
        channel.queue_delete(queue)


def test_nobody_but_notifications_reaches_phones(visitor: tuple[str, Visitor], device: str) -> None:
    service, who = visitor
    mine = service == "notifications"
    for exchange in (BROADCAST, DIRECT):
        assert who.may("basic_publish", exchange, "on-trial", b"") == mine
        assert who.may("queue_bind", device, exchange, "another") == mine
        assert who.may("queue_bind", inbox_queue(service), exchange, "on-trial") == mine, "to listen to phones"
        if mine:
            who.may("queue_unbind", inbox_queue(service), exchange, "on-trial")
        trick = {"x-dead-letter-exchange": exchange}
        assert who.may("queue_declare", f"{service}.trick", arguments=trick) == mine
        assert who.may("queue_delete", f"{service}.trick")
        assert mine or not who.may("exchange_delete", exchange)
    assert who.may("basic_get", device, auto_ack=False) == mine
    assert who.may("basic_consume", device, lambda *_: None) == mine
    assert who.may("queue_declare", "mobile.device.of-another") == mine
    assert who.may("exchange_declare", "mobile.another") == mine
    assert who.may("exchange_delete", "mobile.another") == mine
    assert who.may("queue_delete", "mobile.device.of-another") == mine
    assert who.may("queue_purge", device) == mine
    assert who.may("queue_delete", device) == mine


def test_a_service_may_not_go_round_the_walls(visitor: tuple[str, Visitor]) -> None:
    service, who = visitor
    others = [owner for owner in PARTS if owner != service]
    for owner in others:
        assert not who.may("basic_publish", "", inbox_queue(owner), b""), "the default exchange leads to every queue"
        trick = {"x-dead-letter-exchange": work_exchange(owner)}
        assert not who.may("queue_declare", f"{service}.trick", arguments=trick), "dead letters go where it may write"
        assert not who.may("queue_purge", inbox_queue(owner))
    for exchange, method in product((EVENTS, "sagashop.unroutable"), ("exchange_delete",)):
        assert not who.may(method, exchange)
    assert not who.may("basic_get", "sagashop.unroutable")
    assert not who.may("queue_declare", "anything")


@pytest.mark.parametrize("service", PARTS)
def test_each_service_declares_its_own_part_and_no_other(rabbit_server: RabbitServer, service: str) -> None:
    declare(rabbit_server.url(service), "test", PARTS[service])
    other = next(each for each in PARTS if each != service)
    with pytest.raises(Mismatch, match=r"ACCESS_REFUSED(.|\n)*deploy/walls_rabbit.py"):
        declare(rabbit_server.url(service), "test", PARTS[other])


def test_nobody_comes_in_with_anothers_password_or_as_guest(rabbit_server: RabbitServer) -> None:
    address = rabbit_server.url().rpartition("@")[2]
    secret = rabbit_server.env[password_variable("orders")]
    for login in (f"payments:{secret}", "guest:guest", f"chat:{secret}"):
        with pytest.raises(ProbableAuthenticationError):
            pika.BlockingConnection(pika.URLParameters(f"amqp://{login}@{address}"))


def test_the_definitions_hold_no_password_and_all_of_the_topology(rabbit_server: RabbitServer) -> None:
    text = definitions(rabbit_server.env)
    secrets = [value for name, value in rabbit_server.env.items() if name.startswith("RABBITMQ_PASSWORD")]
    assert len(set(secrets)) == len(secrets) == len(PARTS) + 1
    assert [secret for secret in secrets if secret in text] == []
    assert definitions(rabbit_server.env) == text, "no chance in it, so no restart without a change"
    told = json.loads(text)
    assert {each["name"] for each in told["queues"]} == {queue.name for queue in everything().queues}
    assert [user["name"] for user in told["users"] if user["tags"]] == [rabbit_server.env["RABBITMQ_USER"]]


def test_who_has_work_on_the_ledger_has_a_part_on_rabbitmq() -> None:
    assert set(PARTS) == {service for service, wall in WALLS.items() if wall.ledger}
