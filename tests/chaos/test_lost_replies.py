"""Redis does what it is told, and the answer never arrives: whoever asks again must not do it twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagashop import settings as env
from services.orders.app import create
from services.orders.settings import OrdersSettings
from tests.chaos.beside import beside, settings_of
from tests.chaos.load import Load
from tests.chaos.proxy import LossyProxy
from tests.chaos.shop import LocalShop
from tests.servers import eventually


@pytest.mark.parametrize("service", ["orders", "payments", "fulfillment"])
def test_a_worker_that_loses_answers_to_its_reads_and_commits_doubles_nothing(
    shop: LocalShop, tmp_path: Path, service: str
) -> None:
    name = f"{service}-worker"
    told = settings_of(shop.stack, name)
    load = Load(shop, orders=200, per_s=40, seed=5)
    shop.stack.stop(name)
    try:
        with (
            LossyProxy(told["REDIS_LEDGER_URL"], words=["EVALSHA", "XREADGROUP"], one_in=12, seed=5) as proxy,
            beside(shop.stack, name, tmp_path, REDIS_LEDGER_URL=proxy.url) as worker,
        ):
            load.run()
            eventually(lambda: proxy.lost >= 5, deadline_s=30)
            proxy.active = False
            report = shop.assert_nothing_lost(load.accepted)
            assert worker.logged("broker.unreachable")
    finally:
        shop.stack.start(name)
    assert report.statuses["completed"]


def test_an_order_whose_answer_was_lost_and_which_is_sent_again_is_one_order(shop: LocalShop) -> None:
    told = settings_of(shop.stack, "orders-web-1")
    customer = shop.people.customer()
    before = len(shop.settle().orders)
    with LossyProxy(told["REDIS_LEDGER_URL"], words=["EVALSHA"], one_in=3, seed=6) as proxy:
        settings = env.load(OrdersSettings, told | {"REDIS_LEDGER_URL": proxy.url})
        browser = create(settings).test_client()
        browser.set_cookie("sagashop_session", customer.session.cookies["sagashop_session"])
        accepted = []
        for number in range(40):
            body, headers = {"lines": [{"sku": shop.cheap, "quantity": 1}]}, {"Idempotency-Key": f"lost-{number}"}
            answers = [browser.post("/api/orders", json=body, headers=headers)]
            while answers[-1].status_code == 503:
                answers.append(browser.post("/api/orders", json=body, headers=headers))
            assert answers[-1].status_code < 300, answers[-1].text
            accepted.append(json.loads(answers[-1].data)["order_id"])
    assert proxy.lost >= 10
    report = shop.assert_nothing_lost(accepted)
    assert len(set(accepted)) == 40
    assert len(report.orders) == before + 40
