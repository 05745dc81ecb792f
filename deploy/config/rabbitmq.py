"""What RabbitMQ is told."""

from __future__ import annotations

from collections.abc import Mapping


def rabbitmq_conf(env: Mapping[str, str], listener: str) -> str:
    """The first start makes the user of the settings, and so never the well-known guest.

    listener: address and port, for example `127.0.0.1:18002`
    """
    return (
        f"listeners.tcp.1 = {listener}\n"
        f"default_user = {env['RABBITMQ_USER']}\ndefault_pass = {env['RABBITMQ_PASSWORD']}\n"
        "vm_memory_high_watermark.absolute = 512MiB\ndisk_free_limit.absolute = 200MB\n"
        "log.file = false\nlog.console = true\nlog.console.level = info\n"
    )
