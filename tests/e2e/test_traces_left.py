"""What a run leaves in the logs. Its name sorts behind the other tests of this folder, so it sees what they caused."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import quote

import pytest
import redis
import requests

from deploy.deployment import Deployment
from deploy.walls import ADMIN
from sagashop import keys
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.people import new_product, place, settled

TOKEN = re.compile(rb"(?<![\w-])[\w-]{43}(?![\w-])")


@pytest.fixture(scope="module")
def lines(stack: Deployment, typed_in: list[str]) -> list[tuple[str, bytes]]:
    """Everything that was logged, with the name of who wrote it."""
    return list(stack.everything_logged())


@pytest.fixture(scope="module")
def typed_in(stack: Deployment, operator: Shop) -> list[str]:
    """Traffic with secrets in it, where they belong and where they do not; what must not be seen anywhere."""
    passwords = [f"typed in {new_id()}" for _ in range(5)]
    email, url = f"{new_id()}@sagashop.example", stack.url
    shop = Shop(url)
    shop.post("/api/customers", {"name": "Test Customer", "email": email, "password": passwords[0]})
    order = place(shop, new_product(operator))
    settled(shop, order["order_id"])
    visitor = shop.session.cookies.get_dict()
    bodies = [
        json.dumps({"email": email, "password": passwords[1]}),
        json.dumps({"email": email, "password": [passwords[2]]}),
        json.dumps({"email": email, "password": passwords[3]})[:-1],
        json.dumps({"email": email, "passwort": passwords[4]}),
    ]
    for body in bodies:
        for path in ("/api/session", "/api/customers"):
            answer = requests.post(url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10)
            assert 400 <= answer.status_code < 500
            assert not any(password in answer.text for password in passwords)
    shop.delete("/api/session")
    return [*passwords, *visitor.values(), *operator.session.cookies.get_dict().values()]


@pytest.mark.feature("F33")
def test_no_secret_is_in_any_log(stack: Deployment, typed_in: list[str], lines: list[tuple[str, bytes]]) -> None:
    assert len(stack.secrets) > 10
    secrets = {form.encode() for secret in [*typed_in, *stack.secrets] for form in (secret, quote(secret))}
    found = {(name, line) for name, line in lines if any(secret in line for secret in secrets)}
    assert found == set()


@pytest.mark.feature("F33")
def test_no_token_of_any_session_is_in_any_log(stack: Deployment, lines: list[tuple[str, bytes]]) -> None:
    with redis.Redis.from_url(stack.addresses["REDIS_SESSION_URL"], decode_responses=True) as client:
        live = set(client.scan_iter(keys.own("sessions", "token", "*"), count=1000))
    assert live
    looks_like = {(name, match) for name, line in lines for match in TOKEN.findall(line)}
    tokens = {
        name for name, text in looks_like if keys.own("sessions", "token", hashlib.sha256(text).hexdigest()) in live
    }
    assert tokens == set()


@pytest.mark.feature("F33")
@pytest.mark.parametrize("server", ["REDIS_LEDGER_URL", "REDIS_SESSION_URL"])
def test_no_service_has_run_into_a_wall(stack: Deployment, lines: list[tuple[str, bytes]], server: str) -> None:
    with redis.Redis.from_url(stack.addresses[server], decode_responses=True) as client:
        refused = [entry for entry in client.acl_log() if entry["username"] != ADMIN]
    assert refused == []
    assert [(name, line) for name, line in lines if b"NOPERM" in line or b"executing the script can't" in line] == []
