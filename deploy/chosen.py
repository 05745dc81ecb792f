"""The stack that the commands of `make` work on."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.compose.stack import ComposeStack
from deploy.deployment import Deployment
from deploy.local import dotenv, engine
from deploy.local.stack import Stack


def chosen() -> tuple[Deployment, str]:
    """The stack that the environment names, and what to tell about the choice.

    SAGASHOP_HOME, SAGASHOP_ENV, COMPOSE_PROJECT_NAME, and every setting that .env.example knows. With an empty MODE a
    local stack that runs is the one that is meant, whether or not an engine answers by now.

    Raises: StackError when MODE asks for what is not there.
    """
    home = Path(os.environ.get("SAGASHOP_HOME") or dotenv.REPO / ".local")
    env_file = Path(os.environ.get("SAGASHOP_ENV") or dotenv.REPO / ".env").absolute()
    settings = dotenv.settings(env_file, os.environ)
    local = Stack(home, settings, env_file=env_file)
    mode, remark = ("local", "") if not settings["MODE"] and local.runs else engine.choose(settings["MODE"])
    if mode == "local":
        return local, remark
    return ComposeStack(os.environ.get("COMPOSE_PROJECT_NAME") or "sagashop", settings, env_file=env_file), remark
