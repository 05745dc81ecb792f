"""The phone's page in a real browser: messages arrive by themselves, also what came while it was off line."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from sagashop.cli.phone_memory import Memory, missing_words
from sagashop.cli.shop import Shop
from tests.browser import visitor
from tests.browser.test_states import assert_readable


@pytest.mark.feature("F40")
@pytest.mark.feature("F41")
def test_this_browser_becomes_a_phone_and_misses_nothing_off_line(page: Page, operator: Shop) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")
    page.goto("/phone/")
    form = page.get_by_role("form", name="New phone")
    form.get_by_role("button", name="Make this browser a phone").click()
    chip, messages = page.locator(".messages .chip"), page.get_by_role("list", name="Messages, newest first")
    expect(chip).to_have_text("On line")

    operator.post("/api/notifications/broadcasts", {"text": "Free shipping today"})
    expect(messages.get_by_text("Free shipping today")).to_be_visible(timeout=visitor.PATIENCE_MS)
    buy_a_mug(page)
    expect(messages.get_by_text("is confirmed")).to_have_count(1, timeout=visitor.PATIENCE_MS)

    page.get_by_role("button", name="Go off line").click()
    expect(chip).to_have_text("Off line")
    operator.post("/api/notifications/broadcasts", {"text": "You were in a tunnel"})
    page.get_by_role("button", name="Go on line").click()
    expect(messages.get_by_text("You were in a tunnel")).to_have_count(1, timeout=visitor.PATIENCE_MS)
    page.reload()
    expect(messages.get_by_text("You were in a tunnel")).to_have_count(1)
    expect(chip).to_have_text("On line")
    assert_readable(page)

    page.get_by_role("button", name="Remove this phone").click()
    expect(page.get_by_role("form", name="New phone")).to_be_visible()


def buy_a_mug(page: Page) -> None:
    """In the customer's name, without leaving the page."""
    body = '{"lines": [{"sku": "MUG-TERRA-01", "quantity": 1}]}'
    status = page.evaluate(
        "body => fetch('/api/orders', {method: 'POST', headers: {'Content-Type': 'application/json'}, body})"
        ".then(answer => answer.status)",
        body,
    )
    assert status == 202


def notice(number: int) -> dict[str, Any]:
    return {"number": number, "order_id": "o", "event": "OrderPlaced", "text": f"Message {number}.", "time_ms": 1}


class Gateway:
    """What a phone's page talks to, in place of the real one: a queue, and the notices that HTTP has."""

    def __init__(self, page: Page, queue: range, kept: range) -> None:
        self.queue, self.kept, self.acknowledged = queue, kept, set[int]()
        page.route_web_socket("**/api/notifications/devices/*/socket", self.deliver)
        page.route("**/api/notifications/mine?after=*", self.answer)

    def deliver(self, socket: WebSocketRoute) -> None:
        socket.on_message(lambda text: self.acknowledged.add(json.loads(text)["ack"]))
        socket.send(json.dumps({"hello": {"direct": self.kept[-1], "broadcast": 0}}))
        for number in self.queue:
            message = {"kind": "direct", **notice(number)}
            socket.send(json.dumps({"tag": number, "message": message}))

    def answer(self, route: Route) -> None:
        after = int(parse_qs(urlsplit(route.request.url).query)["after"][0])
        page = [number for number in self.kept if number > after][:50]
        route.fulfill(json={"items": [notice(number) for number in reversed(page)]})


@pytest.fixture
def customers_page(page: Page) -> Page:
    """A customer who is about to make this browser a phone."""
    page.goto("/#/account")
    visitor.sign_up(page)
    page.goto("/phone/")
    return page


def facts(page: Page) -> list[str]:
    """The last message, how many came again, how many were fetched."""
    last, _, repeated, fetched = page.locator(".facts dd").all_inner_texts()
    return [last, repeated, fetched]


def make_it_a_phone(page: Page) -> None:
    page.get_by_role("button", name="Make this browser a phone").click()


@pytest.mark.feature("F41")
def test_what_waits_in_the_queue_is_shown_and_what_is_missing_is_said(customers_page: Page) -> None:
    gateway = Gateway(customers_page, queue=range(61, 261), kept=range(211, 261))
    make_it_a_phone(customers_page)
    messages = customers_page.get_by_role("list", name="Messages, newest first").locator("p")
    expect(messages.first).to_have_text("Message 260.", timeout=visitor.PATIENCE_MS)
    expect(messages).to_have_text([f"Message {number}." for number in range(260, 210, -1)])
    assert facts(customers_page) == ["260", "0", "0"], "nothing was dropped, nothing fetched"
    assert gateway.acknowledged == set(range(61, 261))
    expect(customers_page.get_by_text(missing_words(60))).to_be_visible()
    assert_readable(customers_page)


@pytest.mark.feature("F41")
def test_what_is_gone_from_the_queue_is_fetched_page_by_page(customers_page: Page) -> None:
    Gateway(customers_page, queue=range(131, 133), kept=range(1, 141))  # and 133 to 140 are gone, too
    make_it_a_phone(customers_page)
    messages = customers_page.get_by_role("list", name="Messages, newest first").locator("p")
    expect(messages.first).to_have_text("Message 140.", timeout=visitor.PATIENCE_MS)
    assert facts(customers_page) == ["140", "0", "138"]
    expect(customers_page.get_by_text("missing")).to_have_count(0)


def test_the_page_remembers_as_the_simulator_does(page: Page) -> None:
    chance = random.Random(23)
    lives = [[(chance.random() < 0.7, chance.randint(1, 30)) for _ in range(40)] for _ in range(100)]
    lives.append([(True, number) for number in range(2, 600, 2)])  # more gaps than are kept
    page.goto("/phone/")
    told = page.evaluate(
        """async (lives) => {
          const { begin, hear, passOver, missing, missingWords } = await import("/js/phone-memory.js");
          return lives.map((life) => {
            const memory = begin(3);
            const heard = life.map(([comes, number]) => (comes ? hear : passOver)(memory, number) ?? null);
            return [heard, memory.top, missingWords(missing(memory))];
          });
        }""",
        lives,
    )
    assert told == [remembered(life) for life in lives]


def remembered(life: list[tuple[bool, int]]) -> list[Any]:
    memory = Memory(3)
    heard = [memory.hear(number) if is_heard else memory.pass_over(number) for is_heard, number in life]  # type: ignore[func-returns-value]
    return [heard, memory.top, missing_words(memory.missing)]
