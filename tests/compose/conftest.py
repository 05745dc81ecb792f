"""The shop in containers. Only `--stack compose` runs the tests of this folder: `make test-compose`."""

from __future__ import annotations

from typing import cast

import pytest

from deploy.compose.stack import ComposeStack
from deploy.deployment import Deployment
from tests.chaos.shop import ShopUnderTest


class ShopInContainers(ShopUnderTest):
    stack: ComposeStack


@pytest.fixture(scope="session")
def compose(stack: Deployment) -> ComposeStack:
    """The same stack that the end-to-end tests use."""
    return cast("ComposeStack", stack)


@pytest.fixture(scope="session")
def shop(compose: ComposeStack) -> ShopInContainers:
    return ShopInContainers(compose)
