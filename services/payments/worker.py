"""The process that carries out the commands of orders: `python -m services.payments.worker`."""

from __future__ import annotations

from sagashop import settings, worker
from services.payments.handlers import make_handlers
from services.payments.settings import PaymentsSettings


def start() -> int:
    """Consume until told to stop; the exit status."""
    chosen = settings.load(PaymentsSettings)
    return worker.run("payments", chosen, lambda: make_handlers(chosen.terms))


if __name__ == "__main__":
    worker.main(start)
