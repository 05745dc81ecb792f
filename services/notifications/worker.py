"""The process that writes notices, and beside that relays to phones: `python -m services.notifications.worker`."""

from __future__ import annotations

from sagashop import settings as env
from sagashop import worker
from services.notifications.handlers import make_handlers
from services.notifications.relay import Relay
from services.notifications.settings import NotificationsSettings
from services.notifications.store import SERVICE


def start() -> int:
    """Write notices until told to stop; the exit status."""
    settings = env.load(NotificationsSettings)
    relay = Relay(settings, settings.worker_name)
    return worker.run(SERVICE, settings, make_handlers, beside=[relay.run])


if __name__ == "__main__":
    worker.main(start)
