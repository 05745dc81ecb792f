"""The `sagashop` command against the whole stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.deployment import Deployment
from sagashop.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(stack: Deployment) -> Run:
    def invoke(*arguments: str, ok: bool = True) -> Result:
        result = CliRunner().invoke(main, ["--env-file", str(stack.env_file), "--url", stack.url, *arguments])
        assert (result.exit_code == 0) is ok, result.output
        return result

    return invoke


def read(result: Result) -> Any:
    """What it printed under `--json`."""
    return json.loads(result.stdout)
