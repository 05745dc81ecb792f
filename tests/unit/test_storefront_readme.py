"""The service's README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Flask

from sagashop.settings import Settings, describe
from services.storefront.behaviour import Behaviour
from services.storefront.routes import blueprints
from services.storefront.settings import StorefrontSettings
from services.storefront.shop import Shop

README = Path("services/storefront/README.md").read_text()
UNUSED: Behaviour = None  # type: ignore[assignment]


def test_the_endpoint_table_names_every_route_and_no_other() -> None:
    app = Flask(__name__, static_folder=None)
    for blueprint in blueprints(Shop(UNUSED, UNUSED, UNUSED, UNUSED, lambda: None)):  # type: ignore[arg-type]
        app.register_blueprint(blueprint)
    routed = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(re.findall(r"^\| ([A-Z]+) \| (/\S+) \| ", README, re.MULTILINE)) == routed


def test_the_settings_table_is_that_of_the_code() -> None:
    shared = {row.env_name for row in describe(Settings)}
    own = [tuple(row) for row in describe(StorefrontSettings) if row.env_name not in shared]
    assert re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\| (.*) \|$", README, re.MULTILINE) == own
