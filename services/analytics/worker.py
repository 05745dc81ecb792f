"""The process that counts: `python -m services.analytics.worker`."""

from __future__ import annotations

from sagashop import settings, worker
from sagashop.settings import Settings
from services.analytics.handlers import make_handlers
from services.analytics.store import SERVICE


def start() -> int:
    """Count until told to stop; the exit status."""
    return worker.run(SERVICE, settings.load(Settings), make_handlers)


if __name__ == "__main__":
    worker.main(start)
