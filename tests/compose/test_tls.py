"""TLS in containers: the front door and storefront are told of it, and afterwards that it is off again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from deploy.compose.stack import ComposeStack
from tests.e2e.test_http_hardening import assert_safe, cookies_of_a_visit


@pytest.fixture
def under_tls(compose: ComposeStack) -> Iterator[ComposeStack]:
    changed = ComposeStack(compose.name, {**compose.env, "TLS": "on"}, env_file=compose.env_file)
    again = ("up", "--detach", "--wait", "nginx", "storefront-web")
    changed.compose(*again, timeout_s=120)
    yield changed
    compose.compose(*again, timeout_s=120)


@pytest.mark.feature("F50")
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_under_tls_cookies_are_secure_and_plain_http_only_redirects(under_tls: ComposeStack) -> None:
    with requests.Session() as browser:
        browser.trust_env = browser.verify = False  # the certificate is self-signed
        assert_safe(cookies_of_a_visit(browser, under_tls.url), secure=True)
        plain = f"http://127.0.0.1:{under_tls.env['FRONT_PORT']}/api/cart"
        answer = browser.get(plain, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{under_tls.url}/api/cart")
