"""The process that writes notices: `python -m services.notifications.worker`."""

from __future__ import annotations

from sagashop import settings, worker
from services.notifications.handlers import make_handlers
from services.notifications.settings import NotificationsSettings
from services.notifications.store import SERVICE


def start() -> int:
    """Write notices until told to stop; the exit status."""
    return worker.run(SERVICE, settings.load(NotificationsSettings), make_handlers)


if __name__ == "__main__":
    worker.main(start)
