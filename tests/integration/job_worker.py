"""A worker in a process of its own, to be killed: `python -m tests.integration.job_worker URL`.

It does jobs of the kind `note`: it appends the job's id to the Redis list `notes`; one with the payload `hang` never
ends.
"""

from __future__ import annotations

import sys
import time

from sagashop import redis_clients
from sagashop.jobs import process
from sagashop.jobs.job import Policy, Taken
from sagashop.jobs.queue import JobQueue
from sagashop.settings import Settings

POLICY = Policy(visibility_s=0.5, attempts=3, backoff_s=0.05, batch=10, timeout_s=1.5)


def main(url: str) -> int:
    settings = Settings(redis_ledger_url=url, worker_name="killed", log_level="error")
    redis = redis_clients.ledger(settings)

    def note(job: Taken) -> None:
        redis.rpush("notes", job.id)
        while job.payload == "hang":
            time.sleep(1)

    return process.run(JobQueue("toy", redis), {"note": note}, settings, POLICY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
