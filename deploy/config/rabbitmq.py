"""What RabbitMQ is told."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.walls import fingerprint
from deploy.walls_rabbit import definitions


def rabbitmq_conf(env: Mapping[str, str], listener: str, loaded: str) -> str:
    """Every start takes users, permissions and queues from the definitions, and so never makes the well-known guest.

    The comment makes a change of the definitions restart the server.

    listener: address and port, for example `127.0.0.1:18002`
    loaded:   where the definitions lie (deploy/walls_rabbit.py)
    """
    return (
        f"# definitions: {fingerprint(definitions(env))[:12]}\n"
        f"listeners.tcp.1 = {listener}\nload_definitions = {loaded}\n"
        f"vm_memory_high_watermark.absolute = {env['RABBITMQ_MEMORY']}\ndisk_free_limit.absolute = 200MB\n"
        "log.file = false\nlog.console = true\nlog.console.level = info\n"
    )
