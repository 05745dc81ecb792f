"""What is done to containers from outside. Each begins at once, and ends with its context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.compose import docker
from deploy.compose.stack import ComposeStack
from deploy.local.errors import StackError
from tests.servers import eventually


@contextmanager
def paused(stack: ComposeStack, process: str) -> Iterator[None]:
    """It stands still, and keeps its connections."""
    container = stack.container(process).id
    eventually(lambda: _pause(container), deadline_s=20, every_s=0.2)
    try:
        yield
    finally:
        docker.run("unpause", container)


def _pause(container: str) -> bool:
    """A busy kernel does not always get hold of every thread in time (cgroups of version 1)."""
    try:
        docker.run("pause", container)
    except StackError as error:
        if "unable to freeze" in str(error):
            return False
        raise
    return True


@contextmanager
def cut_off(stack: ComposeStack, process: str) -> Iterator[None]:
    """It goes on, and reaches nobody; nobody reaches it or finds its name."""
    container, network = stack.container(process), f"{stack.name}_back"
    docker.run("network", "disconnect", network, container.id)
    try:
        yield
    finally:
        docker.run("network", "connect", "--alias", container.service, network, container.id)


def crash(stack: ComposeStack, process: str) -> None:
    """Kill its first process behind the engine's back, as a fault of the program would end it."""
    kill = f"kill -KILL {stack.pid(process)}"
    image = f"{stack.name}/services:local"
    rights = ("--pid=host", "--user=root", "--cap-drop=ALL", "--cap-add=KILL")
    docker.run("run", "--rm", *rights, "--entrypoint=bash", image, "-c", kill)
