"""A backup taken while orders flow brings a shop back whose data were all destroyed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.backup.compose import ComposeSite
from deploy.backup.local import LocalSite
from deploy.backup.restoring import examine, restore
from deploy.backup.saving import save
from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from sagashop.cli.shop import Refused, Shop
from sagashop.messages import new_id
from tests.chaos.shop import ShopUnderTest, place
from tests.conftest import QUICK, containers
from tests.people import WELCOME_CENTS, People, balance
from tests.servers import eventually

PASSWORD = "correct horse battery"


class Newcomers:
    """People who sign up and order at once, one after the other, in the middle of everything."""

    def __init__(self, people: People, sku: str) -> None:
        self._people, self._sku = people, sku
        self.orders: dict[str, str] = {}
        """Order id → e-mail of who placed it, as they were accepted."""

    @contextmanager
    def coming(self) -> Iterator[None]:
        stopping = threading.Event()
        thread = threading.Thread(target=self._come, args=(stopping,))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _come(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            shop, email = self._people.guest(), f"{new_id()}@sagashop.example"
            shop.post("/api/customers", {"name": "Newcomer", "email": email, "password": PASSWORD})
            self.orders[place(shop, self._sku, new_id())] = email


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalSite | ComposeSite]:
    """A stack of the test's own, whose .env outlives its data."""
    if request.config.getoption("--stack") == "compose":
        with containers(tmp_path) as compose:
            yield ComposeSite(compose, tmp_path)
    else:
        settings = free_settings() | QUICK | {"ORDERS_REPLICAS": "1"}
        with Stack(tmp_path / "home", settings, env_file=tmp_path / ".env") as local:
            yield LocalSite(local)


@pytest.mark.feature("F21")
@pytest.mark.timeout(400)
def test_a_backup_taken_while_orders_flow_brings_back_a_shop_that_was_destroyed(
    site: LocalSite | ComposeSite, tmp_path: Path
) -> None:
    shop = ShopUnderTest(site.stack)
    customer = shop.people.customer()
    customer.put(f"/api/cart/lines/{shop.dear}", {"quantity": 3})
    newcomers = Newcomers(shop.people, shop.cheap)

    def two_more(_: str = "") -> None:
        """Somebody signs up and orders between any two parts of the backup."""
        enough = len(newcomers.orders) + 2
        eventually(lambda: len(newcomers.orders) >= enough, deadline_s=30)

    with newcomers.coming():
        two_more()
        before = dict(newcomers.orders)
        backup = save(site, tmp_path / "backups", two_more)
        two_more()
    site.stack.destroy()

    restore(site, backup, examine(site, backup), print)

    report = shop.settle()
    report.assert_all(before)
    assert report.orders.keys() < newcomers.orders.keys(), "what came after the backup is gone, and nothing else"
    assert all(report.orders[order_id] == "completed" for order_id in before)
    during = {
        email: order_id in report.orders for order_id, email in newcomers.orders.items() if order_id not in before
    }
    paid = {email for order_id, email in newcomers.orders.items() if report.orders.get(order_id) == "completed"}
    if site.stack.env["BUS"] == "redis":  # else a step that was under way may have timed out; it is undone then
        assert {email for email, ordered in during.items() if ordered} <= paid
    found = {email: known for email in during if (known := log_in(shop.people, email))}
    assert {email for email, ordered in during.items() if ordered} < found.keys(), "who has an order can see it"
    for email, known in found.items():  # whoever is known has an account, also who came after redis-ledger was saved
        assert balance(known)["available_cents"] == WELCOME_CENTS - 10 * (email in paid)

    assert [line["quantity"] for line in customer.get("/api/cart")["lines"]] == [3], (
        "the session and the cart are there"
    )
    order_id = place(customer, shop.cheap, "after-the-restore")
    assert shop.assert_nothing_lost([order_id]).orders[order_id] == "completed"


def log_in(people: People, email: str) -> Shop | None:
    try:
        return people.guest().log_in(email, PASSWORD)
    except Refused:
        return None
