"""One project of Compose: its settings, its commands, its containers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.compose import containers, docker
from deploy.compose.containers import Container
from deploy.local import dotenv
from deploy.local.checks import checked
from deploy.local.errors import StackError
from deploy.local.service_env import public_url
from deploy.walls import ADMIN

WEB_PORT, HEALTH_PORT = 8000, 8001


class Project:
    """What can be asked of a project without changing it.

    env:      settings by name; those not given come from the env file, which is made with fresh secrets when missing
    """

    def __init__(self, name: str, env: Mapping[str, str] | None = None, *, env_file: Path) -> None:
        self.name, self.env_file = name, env_file
        self._given = dict(env or {})

    @property
    def env(self) -> dict[str, str]:
        """All settings. Makes the env file when there is none."""
        return checked(dotenv.ensure(self.env_file) | self._given)

    @property
    def url(self) -> str:
        """Where the front door answers, without a slash at the end."""
        return public_url(self.env)

    @property
    def addresses(self) -> dict[str, str]:
        """REDIS_LEDGER_URL, REDIS_SESSION_URL, RABBITMQ_URL of those that run, for tests and tools on this machine.

        Right until the container is started again, perhaps with another address.
        """
        env = self.env
        login = {
            "redis-ledger": f"redis://{ADMIN}:{quote(env['REDIS_LEDGER_PASSWORD'], safe='')}@{{}}:6379/0",
            "redis-session": f"redis://{ADMIN}:{quote(env['REDIS_SESSION_PASSWORD'], safe='')}@{{}}:6379/0",
            "rabbitmq": f"amqp://{env['RABBITMQ_USER']}:{env['RABBITMQ_PASSWORD']}@{{}}:5672/%2F",
        }
        running = [each for each in self.containers() if each.service in login and each.pid]
        return {_variable(each.service): login[each.service].format(each.address) for each in running}

    def inside(self, process: str) -> str:
        """Where the HTTP of one process answers this machine, around the front door."""
        container = self.container(process)
        port = WEB_PORT if container.service.endswith(("-web", "-live")) else HEALTH_PORT
        return f"http://{container.address}:{port}"

    def containers(self) -> list[Container]:
        """Those that are to stay up, running or not."""
        return [each for each in containers.of_project(self.name) if each.service not in containers.ONE_SHOTS]

    def container(self, process: str) -> Container:
        """Raises: StackError for an unknown name."""
        found = self.containers()
        for each in found:
            if each.name == process:
                return each
        raise StackError(_unknown(process, found))

    def matching(self, name: str) -> list[str]:
        """The processes of that name, or of the service of that name. Raises: StackError when there are none."""
        found = self.containers()
        names = [each.name for each in found]
        if name in names:
            return [name]
        wanted = [each for each in names if each.startswith(name + "-")]
        if not wanted:
            raise StackError(_unknown(name, found))
        return wanted

    def has_data(self, volume: str) -> bool:
        """Whether this volume is there, and so was used before."""
        return bool(docker.run("volume", "ls", "--quiet", "--filter", f"name=^{self.name}_{volume}$").strip())

    @property
    def services(self) -> list[str]:
        """The names of all processes of ours, without servers and consoles."""
        return [each.name for each in self.containers() if each.is_ours]

    def ps(self) -> list[dict[str, Any]]:
        """Each container: `name`, `state`, `pid` (0: none), `port` (None: not of this machine), `ready` and more."""
        return [_row(container) for container in self.containers()]

    def logs(self, process: str) -> str:
        """The end of what it wrote, some 500 lines."""
        return docker.logs(self.container(process).id, "--tail", "500")

    def everything_logged(self) -> Iterator[tuple[str, bytes]]:
        """Each line that a container has written since it was made, with its name."""
        for container in containers.of_project(self.name):
            for line in docker.logs(container.id).splitlines():
                yield container.name, line.encode()

    @property
    def secrets(self) -> list[str]:
        """What must never be read in a log."""
        cookie = self.compose("exec", "-T", "rabbitmq", "cat", "/var/lib/rabbitmq/.erlang.cookie").strip()
        return [*(value for name, value in self.env.items() if "PASSWORD" in name), cookie]

    def compose(self, *arguments: str, timeout_s: float = docker.TIMEOUT_S, stdin: str = "") -> str:
        """What `docker compose …` of this project printed. Raises: StackError."""
        return docker.finish(self.command(*arguments), self.environment(), timeout_s, stdin).stdout

    def command(self, *arguments: str) -> list[str]:
        where = ("-p", self.name, "--project-directory", str(dotenv.REPO), "--env-file", str(self.env_file))
        return ["docker", "compose", *where, *arguments]

    def environment(self) -> dict[str, str]:
        """What Compose fills in: a variable wins over the env file, and so the settings given here do."""
        return os.environ | self.env


def _variable(server: str) -> str:
    return f"{server.upper().replace('-', '_')}_URL"


def _unknown(name: str, found: list[Container]) -> str:
    there = ", ".join(each.name for each in found)
    hint = f"There are: {there}." if there else "Nothing runs: start it with `make up`."
    return f"there is no container or service {name!r}. {hint}"


def _row(container: Container) -> dict[str, Any]:
    again = f", started again {container.restarts} times" if container.restarts else ""
    return {
        "name": container.name,
        "state": container.state,
        "ready": container.ready,
        "pid": container.pid,
        "port": None,
        "description": f"since {container.started[:19]}Z{again}" if container.pid else "",
    }
