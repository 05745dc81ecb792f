"""The process that keeps the journal and the books in SQL: `python -m services.payments.projector`."""

from __future__ import annotations

from sagashop import projector, settings, worker
from services.payments.postings import Postings
from services.payments.settings import PaymentsSettings


def start() -> int:
    """Project until told to stop; the exit status."""
    return projector.run("payments", settings.load(PaymentsSettings), [Postings()])


if __name__ == "__main__":
    worker.main(start)
