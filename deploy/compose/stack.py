"""A stack of containers: `ComposeStack("sagashop", env_file=…).up(180)`. It does what the local `Stack` does."""

from __future__ import annotations

import os
import signal as signals
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from pathlib import Path

from deploy import switching
from deploy.compose import containers, docker, front, images
from deploy.compose.bus import ComposeBus
from deploy.compose.containers import ONE_SHOTS, Container
from deploy.compose.project import Project
from deploy.local import ports
from deploy.local.errors import StackError
from deploy.local.processes import table
from deploy.local.starting import Progress
from deploy.local.waiting import holds

PORT_TAKEN = "port is already allocated"
"""What the engine says of a port that somebody took meanwhile; then the others have only begun to start."""
KEPT_NETWORK = "has active endpoints"
"""What it says of a network on which, as it counts, somebody is left."""


class ComposeStack(Project):
    """A project that is started, changed, hurt and stopped. Only Nginx is published, on 127.0.0.1."""

    mode = "compose"
    patience_s = 240.0
    drain_s = switching.DRAIN_S

    def __init__(self, name: str, env: Mapping[str, str] | None = None, *, env_file: Path) -> None:
        super().__init__(name, env, env_file=env_file)
        self._signalling = threading.Lock()

    @property
    def runs(self) -> bool:
        return any(each.pid for each in self.containers())

    @property
    def data(self) -> str:
        """What `destroy` deletes, in words."""
        return f"the volumes of the Compose project {self.name}"

    @property
    def breaking(self) -> str:
        """A command that kills a replica of orders."""
        return f"docker kill {self.name}-orders-web-1"

    def build(self) -> None:
        """Fetch the images that are missing and make ours from this folder, and show how; quick when nothing changed.

        Raises: StackError when that fails.
        """
        images.provide(self)

    def up(self, wait_s: float = patience_s, progress: Progress = lambda ready, waiting: None) -> None:
        """Start what does not run, apply changed settings, leave the rest alone; return when all are ready.

        Raises: StackError naming a port that is taken (nothing was started then), what is still on its way on the other
        bus (all runs as before), or what is not ready within `wait_s` seconds (the others keep running).
        """
        self._check_ports()
        self._change_bus()
        options = ("--detach", "--wait", "--remove-orphans", "--scale", f"orders-web={self.env['ORDERS_REPLICAS']}")
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(self.compose, "up", *options, timeout_s=wait_s)
            self._watch(starting, progress)
        if error := starting.exception():
            raise StackError(self._why(str(error))) from None

    def _check_ports(self) -> None:
        if any(each.pid for each in self.containers() if each.service == "nginx"):
            return
        env = self.env
        door = next(process for process in table(env) if process.name == "nginx")
        ports.check([replace(door, more_ports=(int(env["FRONT_TLS_PORT"]),))])

    def _change_bus(self) -> None:
        """Where the data are of the other bus: close the front door, let the workers finish, and move; or refuse."""
        new = self.env["BUS"]
        on = {each.bus for each in self.containers() if each.pid and each.is_ours}
        if on == {new}:
            return
        site = ComposeBus(self)
        if (old := site.carrier()) not in ("", new):
            switching.change(site, old, new, self.drain_s)

    def _watch(self, starting: Future[str], progress: Progress) -> None:
        while wait_for([starting], timeout=0.5).not_done:
            found = self.containers()
            progress(sum(each.ready for each in found), [each.name for each in found if not each.ready])

    def _why(self, otherwise: str) -> str:
        """Who has failed, with the last words; else what Compose said."""
        failed = [each for each in containers.of_project(self.name) if _failed(each)]
        if not failed or PORT_TAKEN in otherwise:
            return otherwise
        told = [
            f"{each.name} is not ready ({each.state}, {each.health or f'status {each.exit_code}'})."
            f" Its log ends with:\n{docker.last_words(docker.logs(each.id, '--tail', '20'))}"
            for each in failed[:3]
        ]
        return "\n".join([*told, f"  See more with `make logs s={failed[0].name}`, and end it all with `make down`."])

    def down(self, wait_s: float = 120) -> bool:
        """Stop everything gracefully, the front door first, and remove the containers; the data stays.

        Returns whether anything was there. Raises: StackError when it takes longer than `wait_s` seconds.
        """
        there = bool(containers.of_project(self.name))
        self._remove(wait_s)
        return there

    def destroy(self) -> None:
        """As `down`, and delete the data."""
        self._remove(120, "--volumes")

    def _remove(self, wait_s: float, *options: str) -> None:
        """An engine that miscounts who is on a network keeps it, now and then until it is restarted. An empty network
        harms nobody, and the next `up` takes it; but it may also be that somebody is just leaving, so ask again.
        """
        for last in (False, False, True):
            try:
                self.compose("--profile", "*", "down", "--remove-orphans", *options, timeout_s=wait_s)
                return
            except StackError as why:
                if KEPT_NETWORK not in str(why) or (last and containers.of_project(self.name)):
                    raise
                time.sleep(1)

    def scale(self, replicas: int) -> None:
        """So many replicas of the orders API. No request is lost: who leaves is asked no more before it stops."""
        self._given["ORDERS_REPLICAS"] = str(replicas)
        there = [each for each in self.containers() if each.service == "orders-web"]
        options = ("--detach", "--wait", "--no-deps", "--no-recreate", "--scale", f"orders-web={replicas}")
        with front.without(self, there[replicas:]):
            self.compose("up", *options, "orders-web", timeout_s=120)

    def pid(self, process: str) -> int:
        """The pid on this machine of what the container runs; 0 while it does not. Raises: StackError."""
        return self.container(process).pid

    def signal(self, process: str, number: int) -> int:
        """Send a signal. Returns the pid that got it. Raises: StackError when it does not run.

        The engine leaves alone what was killed through it; so a killed container is started again here.
        """
        with self._signalling:  # whoever kills it again at the same moment finds it started
            container = self.container(process)
            docker.run("kill", "--signal", signals.Signals(number).name, container.id)
            if number == signals.SIGKILL:
                docker.run("start", container.id)
            return container.pid

    def restart(self, process: str, wait_s: float = 90) -> None:
        """Stop one container gracefully, start it again, and wait until it is ready."""
        docker.run("restart", self.container(process).id)
        self.wait_ready(process, wait_s)

    def stop(self, process: str, wait_s: float = 60) -> None:
        """Stop one container, which then stays down until `start` or `up`."""
        docker.run("stop", self.container(process).id, timeout_s=wait_s)

    def start(self, process: str, wait_s: float = 90) -> None:
        """Start one container that was stopped, and wait until it is ready."""
        docker.run("start", self.container(process).id)
        self.wait_ready(process, wait_s)

    def wait_ready(self, process: str, wait_s: float = 90) -> None:
        """Raises: StackError when it is not ready in time."""
        if not holds(lambda: self.container(process).ready, within_s=wait_s, every_s=0.3):
            raise StackError(self._why(f"{process} is not ready within {wait_s:.0f} s."))

    def show_logs(self, names: Sequence[str], *, lines: int, follow: bool) -> None:
        """Become what shows the end of these logs."""
        services = sorted({self.container(name).service for name in names})
        command = self.command("logs", "--tail", str(lines), *(["--follow"] if follow else []), *services)
        os.execvpe(command[0], command, self.environment())  # noqa: S606


def _failed(container: Container) -> bool:
    if container.service in ONE_SHOTS:
        return container.state == "exited" and container.exit_code != 0
    return not container.ready and container.state != "created"
