"""The topology as code: what the docs draw is what is declared, and every queue is made to lose nothing."""

from __future__ import annotations

import pytest

from deploy.walls_rabbit import PARTS, allowed, everything
from sagashop.rabbit.diagram import mermaid
from sagashop.rabbit.events import EVENTS, bus_part
from sagashop.rabbit.rights import needed
from sagashop.rabbit.topology import Queue, Topology
from services.notifications.settings import NotificationsSettings
from services.notifications.topology import with_a_phone
from tests.readme import blocks, read
from tests.unit.test_readmes import HANDLERS

pytestmark = pytest.mark.feature("F42")


def test_the_diagram_in_the_docs_is_drawn_from_the_code() -> None:
    (drawn,) = blocks(read("docs/rabbitmq.md"), "mermaid")
    whole = everything() + with_a_phone(NotificationsSettings().phone_limits)
    assert drawn == mermaid(whole), "write mermaid(whole) into docs/rabbitmq.md"


@pytest.mark.parametrize("service", HANDLERS)
def test_each_service_hears_the_types_it_handles(service: str) -> None:
    bound = {each.key for each in PARTS[service].bindings if each.exchange == EVENTS}
    types = HANDLERS[service].types
    heard = {f"{t.channel}.{t.__name__}" for t in types if not t.channel.startswith(f"{service}.")}
    assert bound - {f"{service}.commands.#"} == heard
    assert (f"{service}.commands.#" in bound) == any(t.channel == f"{service}.commands" for t in types)


@pytest.mark.parametrize("service", PARTS)
def test_the_table_opens_to_a_service_what_its_topology_needs_and_no_more(service: str) -> None:
    assert needed(service, PARTS[service]) == allowed(service), "deploy/walls.py, and topology.py of the service"


def test_every_queue_of_the_shop_keeps_its_dead_letters_and_names_its_limit() -> None:
    for queue in everything().queues:
        told = queue.arguments
        if told["x-queue-type"] != "quorum":
            continue
        assert (told["x-overflow"], "x-delivery-limit" in told) == ("reject-publish", True), queue.name
        assert ("x-dead-letter-exchange" in told) == (told.get("x-dead-letter-strategy") == "at-least-once")


def test_every_dead_letter_and_every_return_has_a_queue_to_go_to() -> None:
    whole = everything()
    bound = {(each.exchange, each.key) for each in whole.bindings}
    to = {(queue.dead_letter_to, queue.dead_letter_key) for queue in whole.queues if queue.dead_letter_to}
    assert to <= bound


def test_what_two_parts_share_counts_once() -> None:
    part = bus_part("orders", [])
    assert part + part == part
    assert (part + Topology(queues=(Queue("orders.more"),))).queues[-1].name == "orders.more"
