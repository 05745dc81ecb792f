"""Phones on a real RabbitMQ: who is told what, once, in order; what is missing shows, and can be fetched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisGone

from sagashop import keys
from sagashop.cli.phone_memory import Memory
from sagashop.messages import new_id
from sagashop.web.auth import COOKIE
from sagashop.web.websocket import Closed
from services.notifications.app import create
from services.notifications.devices import Numbers
from services.notifications.messages import CHANNEL
from services.notifications.mobile import device_part, device_queue
from services.notifications.phone import Gateway
from services.notifications.relay import Relay
from services.notifications.switchboard import Switchboard
from tests.integration.phones_house import GatewayProcess, PhonesHouse
from tests.rabbit import RabbitServer
from tests.servers import RedisServer, eventually

DEVICES = "/api/notifications/devices"


@pytest.fixture
def house(redis_ledger: str, redis_session: str, rabbit_server: RabbitServer) -> Iterator[PhonesHouse]:
    made = PhonesHouse(redis_ledger, redis_session, rabbit_server)
    yield made
    made.clean_up()


@pytest.fixture
def small(redis_ledger: str, redis_session: str, rabbit_server: RabbitServer) -> Iterator[PhonesHouse]:
    """Queues hold three messages."""
    made = PhonesHouse(redis_ledger, redis_session, rabbit_server)
    with rabbit_server.settings(PHONE_QUEUE_LENGTH="3"):
        yield made
    made.clean_up()


@pytest.fixture
def brief(redis_ledger: str, redis_session: str, rabbit_server: RabbitServer) -> Iterator[PhonesHouse]:
    """Messages wait for a second."""
    made = PhonesHouse(redis_ledger, redis_session, rabbit_server, phone_message_ttl_s=1)
    yield made
    made.clean_up()


@pytest.fixture
def hasty(redis_ledger: str, redis_session: str, rabbit_server: RabbitServer) -> Iterator[PhonesHouse]:
    """Queues go when nobody used them for a second."""
    made = PhonesHouse(redis_ledger, redis_session, rabbit_server)
    with rabbit_server.settings(PHONE_QUEUE_EXPIRES_S="1"):
        yield made
    made.clean_up()


@pytest.fixture(scope="module")
def gateway(
    ledger_server: RedisServer, session_server: RedisServer, rabbit_server: RabbitServer
) -> Iterator[GatewayProcess]:
    process = GatewayProcess(PhonesHouse(ledger_server.url, session_server.url, rabbit_server))
    yield process
    process.stop()


@pytest.mark.feature("F40")
def test_a_phone_hears_of_its_customers_orders_in_order_and_of_no_others(
    house: PhonesHouse, gateway: GatewayProcess
) -> None:
    house.notices(2)  # before it was registered
    mine, theirs = house.register("c1"), house.register("c2")
    assert (mine.since.direct, theirs.since.direct) == (2, 0)
    house.notices(3, "c1")
    house.relay_all()
    phone, other = gateway.connect(mine.device_id, "c1"), gateway.connect(theirs.device_id, "c2")
    assert phone.hello == {"direct": 5, "broadcast": 0}
    assert phone.take(3) == [3, 4, 5]
    assert phone.is_silent()
    assert other.is_silent()
    eventually(lambda: house.waiting(mine.device_id) == 0)


@pytest.mark.feature("F40")
def test_all_devices_of_a_customer_are_told_and_everybody_gets_a_broadcast(
    house: PhonesHouse, gateway: GatewayProcess
) -> None:
    two, another = [house.register("c1"), house.register("c1")], house.register("c2")
    house.notices(1, "c1")
    assert house.broadcasts.send("Only today").number == 1
    house.relay_all()
    late = house.register("c2")
    assert late.since.broadcast == 1
    house.relay_all()
    for device in two:
        phone = gateway.connect(device.device_id, "c1")
        told = [phone.message(), phone.message()]
        assert [(message["kind"], message["number"]) for message in told] == [("direct", 1), ("broadcast", 1)]
        assert (told[0]["text"], told[1]["text"]) == ("We have your order over €0.01.", "Only today")
    assert gateway.connect(another.device_id, "c2").message()["kind"] == "broadcast"
    assert gateway.connect(late.device_id, "c2").is_silent()


@pytest.mark.feature("F41")
def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(
    house: PhonesHouse, gateway: GatewayProcess
) -> None:
    device = house.register()
    house.notices(25)
    house.relay_all()
    phone = gateway.connect(device.device_id)
    assert phone.take(2) == [1, 2]
    assert phone.take(20, acknowledge=False) == list(range(3, 23))
    assert phone.is_silent(), "no more than 20 are on their way to a phone that does not answer"
    phone.say('{"ack": 1}')  # acknowledged already
    phone.say('{"ack": 4711}')  # never seen
    phone.close()
    again = gateway.connect(device.device_id)
    assert again.take(23) == list(range(3, 26))
    assert again.is_silent(), "and the gateway has read what was acknowledged"
    again.close()
    assert gateway.connect(device.device_id).is_silent()


@pytest.mark.feature("F41")
def test_a_second_connection_of_a_device_takes_over_and_gets_what_the_first_did_not_acknowledge(
    house: PhonesHouse, gateway: GatewayProcess
) -> None:
    device = house.register()
    house.notices(3)
    house.relay_all()
    first = gateway.connect(device.device_id)
    assert first.take(3, acknowledge=False) == [1, 2, 3]
    second = gateway.connect(device.device_id)
    assert first.closed_with()[0] == 4409
    assert second.take(3) == [1, 2, 3]
    assert second.is_silent(), "and the gateway has read what was acknowledged"
    third = gateway.connect(device.device_id)
    assert second.closed_with()[0] == 4409
    assert third.is_silent()


@pytest.mark.feature("F40")
def test_a_phone_fetches_page_by_page_what_the_limit_of_length_has_dropped(
    small: PhonesHouse, gateway: GatewayProcess
) -> None:
    device = small.register()
    small.relay_all()
    small.notices(130)
    small.relay_all()
    phone = gateway.live_through(device, 130)
    assert phone.memory["direct"].missing == 0
    assert phone.tally == {"connected": 1, "direct fetched": 127, "direct received": 3}, "three fit into the queue"


@pytest.mark.feature("F40")
def test_a_phone_fetches_what_the_limit_of_age_has_dropped(brief: PhonesHouse, gateway: GatewayProcess) -> None:
    device = brief.register()
    brief.notices(60)
    brief.relay_all()
    eventually(lambda: brief.waiting(device.device_id) == 0)
    phone = gateway.live_through(device, 60)
    assert phone.memory["direct"].missing == 0
    assert phone.tally == {"connected": 1, "direct fetched": 60}


@pytest.mark.feature("F40")
def test_new_limits_hold_for_the_queues_that_are_there(house: PhonesHouse, rabbit_server: RabbitServer) -> None:
    device = house.register()
    house.notices(5)
    house.relay_all()
    eventually(lambda: house.waiting(device.device_id) == 5)
    with rabbit_server.settings(PHONE_QUEUE_LENGTH="2"):
        eventually(lambda: house.waiting(device.device_id) == 2)
    rabbit_server.purge([device_queue(device.device_id)])
    with rabbit_server.settings(PHONE_MESSAGE_TTL_S="1"):
        house.notices(2)
        house.relay_all()
        eventually(lambda: house.waiting(device.device_id) == 0)


@pytest.mark.feature("F40")
def test_an_abandoned_queue_goes_and_a_phone_that_comes_late_has_one_again(
    hasty: PhonesHouse, gateway: GatewayProcess
) -> None:
    device = hasty.register()
    hasty.notices(2)
    hasty.relay_all()
    eventually(lambda: hasty.waiting(device.device_id) is None, 15, 1.5)  # to look at it is to use it
    phone = gateway.connect(device.device_id)
    assert phone.hello["direct"] == 2, "so it knows that two are missing"
    assert phone.is_silent()
    hasty.notices(1)
    hasty.relay_all()
    assert phone.take(1) == [3]


@pytest.mark.feature("F40")
def test_removing_a_device_removes_its_queue_and_hangs_up(house: PhonesHouse, gateway: GatewayProcess) -> None:
    device, kept = house.register(), house.register()
    house.notices(1)
    house.relay_all()
    phone = gateway.connect(device.device_id)
    assert phone.take(1) == [1]
    house.devices.remove("c1", device.device_id)
    house.relay_all()
    assert phone.closed_with() == (4404, "this device was removed")
    assert house.waiting(device.device_id) is None
    assert house.waiting(kept.device_id) == 1
    assert gateway.refuses(device.device_id) == 404
    house.devices.remove("c1", kept.device_id)
    house.relay_all()
    house.notices(1)
    assert house.outbox == 0, "nobody is left to be told"


@pytest.mark.feature("F41")
def test_only_the_owner_connects_and_no_page_of_another_site(house: PhonesHouse, gateway: GatewayProcess) -> None:
    device = house.register("c1")
    assert gateway.refuses(device.device_id, "c2") == 404
    assert gateway.refuses("0" * 32) == 404
    assert gateway.refuses(device.device_id, token="nobody's") == 401
    assert gateway.refuses(device.device_id, Origin="https://elsewhere.example") == 403
    assert gateway.refuses(device.device_id, token=house.token("boss", role="operator")) == 403
    gateway.connect(device.device_id, Origin="http://127.0.0.1")


@pytest.mark.parametrize(
    ("said", "code"), [("hello?", 1008), ('{"ack": 1, "and": 2}', 1008), (b"\x00", 1003), (" " * 300, 1009)]
)
def test_who_does_not_speak_as_a_phone_is_hung_up_on(
    house: PhonesHouse, gateway: GatewayProcess, said: str | bytes, code: int
) -> None:
    phone = gateway.connect(house.register().device_id)
    phone.say(said)
    assert phone.closed_with()[0] == code


def test_who_floods_is_read_slowly_and_keeps_the_connection(house: PhonesHouse, gateway: GatewayProcess) -> None:
    phone, began = gateway.connect(house.register().device_id), time.monotonic()
    for _ in range(1_200):  # 500 frames are read a second
        phone.say('{"ack": 4711}')
    phone.say("and now something wrong")
    assert phone.closed_with()[0] == 1008
    assert time.monotonic() - began > 1.5


class Mute:
    """A phone's socket that only listens."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self._over = threading.Event()

    def send(self, text: str) -> None: ...

    def receive(self) -> str:
        self._over.wait(20)
        raise Closed

    def close(self, code: int, reason: str) -> None:
        self.codes.append(code)
        self._over.set()


@pytest.mark.feature("F40")
def test_a_device_removed_while_its_queue_is_made_anew_leaves_no_queue_behind(house: PhonesHouse) -> None:
    board, socket, device_id = Switchboard(house.settings.rabbitmq_url, 10), Mute(), new_id()
    part, numbers = device_part(device_id, "c1"), Numbers(direct=0, broadcast=0)
    Gateway(board, 20).serve(device_id, part, cast(Any, socket), numbers, lambda: False, 60)
    assert socket.codes[0] == 4404
    eventually(lambda: house.waiting(device_id) is None)
    board.close()


@pytest.mark.feature("F41")
def test_a_phone_that_is_logged_out_or_silent_is_let_go(house: PhonesHouse) -> None:
    gateway = GatewayProcess(house, PHONE_PING_S="0.4")
    try:
        device, other = house.register("c1"), house.register("c1")
        token = house.token("c1")
        phone, silent = gateway.connect(device.device_id, token=token), gateway.connect(other.device_id)
        assert phone.is_silent(1.5), "it answers pings, and stays"
        silent.freeze()
        house.log_out(token)
        assert phone.closed_with() == (4401, "log in again")
        assert silent.was_dropped()
        stopping = gateway.connect(device.device_id)
        gateway.process.terminate()
        assert stopping.closed_with() == (1001, "this gateway stops")
        assert gateway.process.wait(8) == 0
    finally:
        gateway.stop()


@pytest.mark.feature("F40")
def test_a_registration_among_notices_misses_none_of_those_after_it(
    house: PhonesHouse, gateway: GatewayProcess
) -> None:
    writing = threading.Thread(target=house.notices, args=(60,))
    writing.start()
    eventually(lambda: house.devices.numbers("c1").direct >= 5)
    device = house.register()
    writing.join(30)
    house.relay_all()
    phone, since = gateway.connect(device.device_id), device.since.direct
    assert phone.take(60 - since) == list(range(since + 1, 61))
    assert phone.is_silent()


@pytest.mark.feature("F40")
def test_a_relay_that_dies_before_it_takes_note_repeats_and_the_phone_drops_it(
    house: PhonesHouse, gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = house.register()
    house.notices(2)
    dying = Relay(house.settings, "relay-1")
    monkeypatch.setattr(dying._redis, "xdel", dies)
    with pytest.raises(RedisGone):
        dying.step()
    house.relay_all()
    phone, memory = gateway.connect(device.device_id), Memory(0)
    assert [memory.hear(number) for number in phone.take(4)] == [True, True, False, False]


def dies(*_: Any) -> None:
    raise RedisGone("the process died here")


def test_one_relay_works_at_a_time_and_the_next_takes_over(house: PhonesHouse) -> None:
    device = house.register()
    with house.relaying("relay-1") as first:
        eventually(lambda: house.waiting(device.device_id) == 0, 20)
        second = Relay(house.settings, "relay-2")
        assert not second._is_mine()
        assert first._is_mine()
    assert second._is_mine()


def test_an_entry_that_nobody_can_read_becomes_a_dead_letter_and_holds_up_nothing(house: PhonesHouse) -> None:
    house.redis.xadd(keys.stream(CHANNEL), {"type": "Tell", "data": "{"})
    device = house.register()
    house.relay_all()
    assert house.waiting(device.device_id) == 0
    letters: Any = house.redis.xrange(keys.dead_letters("notifications"))
    ((_, letter),) = letters
    assert letter["original.type"] == "Tell"


def test_the_outbox_is_bounded_while_rabbitmq_is_away(house: PhonesHouse) -> None:
    nobody = PhonesHouse(
        house.settings.redis_ledger_url, house.settings.redis_session_url, house.rabbit, phone_outbox_length=10
    )
    nobody.register()
    nobody.notices(300)
    relay = Relay(nobody.settings, "relay-1")
    relay._bound_outbox()
    assert 10 <= nobody.outbox < 301, "approximately, so that it costs nothing"


def browser(house: PhonesHouse, token: str = "") -> Any:
    client = create(house.settings).test_client()
    if token:
        client.set_cookie(COOKIE, token)
    return client


@pytest.mark.feature("F40")
def test_a_customer_registers_lists_and_removes_own_devices_only(house: PhonesHouse) -> None:
    mine, theirs = browser(house, house.token("c1")), browser(house, house.token("c2"))
    made: Any = mine.post(DEVICES, json={"name": "Kitchen phone"})
    assert (made.status_code, made.json["since"]) == (201, {"direct": 0, "broadcast": 0})
    where = made.headers["Location"]
    assert mine.get(where).json["name"] == "Kitchen phone"
    assert [device["name"] for device in mine.get(DEVICES).json["items"]] == ["Kitchen phone"]
    assert theirs.get(DEVICES).json["items"] == []
    assert theirs.get(where).status_code == theirs.delete(where).status_code == 404
    for _ in range(9):
        assert mine.post(DEVICES, json={"name": "Another"}).status_code == 201
    full = mine.post(DEVICES, json={"name": "One more"})
    assert (full.status_code, full.json["type"].rsplit("/")[-1]) == (409, "too-many-devices")
    assert mine.delete(where).status_code == 204
    assert mine.delete(where).status_code == 404
    assert mine.post(DEVICES, json={"name": "a\nb"}).status_code == 422
    assert browser(house).post(DEVICES, json={"name": "Nobody's"}).status_code == 401


@pytest.mark.feature("F40")
def test_the_operator_broadcasts_and_everybody_can_fetch(house: PhonesHouse) -> None:
    customer, boss = browser(house, house.token("c1")), browser(house, house.token("boss", role="operator"))
    path = "/api/notifications/broadcasts"
    assert customer.post(path, json={"text": "Buy mine"}).status_code == 403
    assert [boss.post(path, json={"text": f"News {n}"}).json["number"] for n in (1, 2, 3)] == [1, 2, 3]
    assert [each["text"] for each in customer.get(f"{path}?after=1").json["items"]] == ["News 3", "News 2"]
    assert browser(house).get(path).status_code == 401
    house.notices(3)
    notices = customer.get("/api/notifications/mine?after=2").json["items"]
    assert [notice["number"] for notice in notices] == [3]
    assert customer.get("/api/notifications/mine?after=-1").status_code == 422
