"""The containers of a project, as the engine sees them now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.compose import docker
from deploy.local.errors import StackError

LABEL = "com.docker.compose."
SCALED = {"orders-web"}
"""Services with replicas: their containers carry a number, as the processes of the local mode do."""
ONE_SHOTS = {"setup", "databases"}
"""They prepare something at each `up`, and end."""
OURS = ("-web", "-live", "-worker", "-projector", "-mailer", "-tasks", "-carrier")
"""How the names of our own services end; the others are servers and consoles."""


@dataclass(frozen=True)
class Container:
    """One container. `pid` is its first process as this machine numbers it, 0 while it does not run; `bus`: its BUS."""

    id: str
    service: str
    number: int
    state: str
    health: str
    pid: int
    exit_code: int
    restarts: int
    started: str
    addresses: Mapping[str, str]
    bus: str

    @property
    def name(self) -> str:
        return f"{self.service}-{self.number}" if self.service in SCALED else self.service

    @property
    def ready(self) -> bool:
        return self.state == "running" and self.health in {"healthy", ""}

    @property
    def is_ours(self) -> bool:
        return self.service.endswith(OURS)

    @property
    def address(self) -> str:
        """Where this machine reaches it. Raises: StackError while it is on no network."""
        found = next((address for address in self.addresses.values() if address), None)
        if found is None:
            raise StackError(f"{self.name} is on no network now ({self.state}). Start it with `make up`.")
        return found


def of_project(project: str) -> list[Container]:
    """All containers of a project that are to stay, stopped ones too; one that goes away meanwhile is left out."""
    filters = [f"label={LABEL}project={project}", f"label={LABEL}oneoff=False"]
    ids = docker.run("ps", "--all", "--quiet", "--no-trunc", *(f"--filter={each}" for each in filters)).split()
    found = [_container(document) for document in _inspected(ids)]
    return sorted(found, key=lambda container: (container.service, container.number))


def _inspected(ids: list[str]) -> list[dict[str, Any]]:
    if not ids:
        return []
    try:
        found: list[dict[str, Any]] = json.loads(docker.run("inspect", *ids))
    except StackError:  # one of them has gone: ask for each
        return [document for one in ids for document in _inspected([one])] if len(ids) > 1 else []
    return found


def _container(document: Mapping[str, Any]) -> Container:
    state, labels = document["State"], document["Config"]["Labels"]
    return Container(
        id=document["Id"],
        service=labels[LABEL + "service"],
        number=int(labels[LABEL + "container-number"]),
        state=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        pid=state["Pid"],
        exit_code=state["ExitCode"],
        restarts=document["RestartCount"],
        started=state["StartedAt"],
        addresses={name: each["IPAddress"] for name, each in document["NetworkSettings"]["Networks"].items()},
        bus=next((each[4:] for each in document["Config"].get("Env") or () if each.startswith("BUS=")), ""),
    )
