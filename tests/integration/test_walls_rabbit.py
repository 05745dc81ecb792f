"""The walls on RabbitMQ: every service logs in as itself and tries the doors of all, as the table opens them."""

from __future__ import annotations

import json
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
from tests.rabbit import RabbitServer

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
def visitor(rabbit_server: RabbitServer, request: pytest.FixtureRequest) -> Any:
    made = Visitor(rabbit_server, request.param)
    yield request.param, made
    made.close()


def test_a_service_publishes_only_what_is_its_own_and_what_it_tells(visitor: tuple[str, Visitor]) -> None:
    service, who = visitor
    open_to = {f"{service}.events", f"{service}.behaviour", *WALLS[service].tells}
    wrong = [
        channel
        for channel in CHANNELS
        if who.may("basic_publish", EVENTS, f"{channel}.NobodyHearsThis", b"", mandatory=True) != (channel in open_to)
        and not channel.endswith(".commands")
    ]
    told = {c for c in CHANNELS if c.endswith(".commands") and c in open_to}
    refused = [c for c in CHANNELS if c.endswith(".commands") and c not in open_to]
    assert wrong == []
    assert told == set(WALLS[service].tells)
    assert [c for c in refused if who.may("basic_publish", EVENTS, f"{c}.X", b"")] == []


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
