"""Long work of orders on real servers: Redis, RabbitMQ, SQL, with workers in this process or in one of their own.

As a program, `python -m tests.integration.tasks_world`, it is such a worker, to be killed; see `Office.worker`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sagashop import keys, redis_clients, sql
from sagashop.bus import connect_bus
from sagashop.messages import new_id
from sagashop.rabbit.consumer import Consumer
from sagashop.rabbit.layout import work_queue
from sagashop.rabbit.publisher import Publisher
from sagashop.streams.dead_letters import DeadLetters
from sagashop.tasks import process
from sagashop.tasks.burial import Burial
from sagashop.tasks.desk import Tasks
from sagashop.tasks.documents import Documents
from sagashop.tasks.lease import Leases
from sagashop.tasks.relay import Relay
from sagashop.tasks.reminder import Reminder
from sagashop.tasks.runner import Done, Hopeless, Job, Runner, Work
from sagashop.tasks.task import Task
from services.orders.messages import MakeInvoice
from services.orders.settings import OrdersSettings
from tests.rabbit import RabbitServer
from tests.servers import eventually

STEPS_S = (1,)
TOPOLOGY = work_queue("orders", "tasks")
LEASE_S = 1.0


class Office:
    """Tasks of orders, whose job is given by the test: it gets the message (its `order_id` says what to do)."""

    def __init__(self, ledger: str, rabbit: RabbitServer, folder: Path, query: str = "") -> None:
        self.settings = OrdersSettings(
            redis_ledger_url=ledger, rabbitmq_url=rabbit.url("orders", query), database_url=f"sqlite:///{folder}/orders.db",
            worker_name="office",
        )  # fmt: skip
        self.rabbit, self.redis = rabbit, redis_clients.ledger(self.settings)
        self.tasks = Tasks(connect_bus(self.settings), "orders")
        self.documents = Documents(sql.engine(self.settings.database_url))
        self.documents.prepare()
        self.letters = DeadLetters(self.redis, "orders")
        self._file = folder / "settings.json"

    def submit(self, what: str = "", owner: str = "c1", key: str | None = None) -> str:
        return self.tasks.submit(lambda i: MakeInvoice(task_id=i, order_id=what), owner, key).task.task_id

    def task(self, task_id: str) -> Task:
        found = self.tasks.find(task_id)
        assert found is not None
        return found

    def reaches(self, task_id: str, status: str, within_s: float = 20.0) -> Task:
        eventually(lambda: self.task(task_id).status == status, within_s)
        return self.task(task_id)

    def text(self, task_id: str) -> bytes:
        return b"".join(self.documents.read(self.task(task_id).document))

    def sent(self, task_id: str) -> bytes:
        """The message of a task as the relay will send it."""
        entries: Any = self.redis.xrange(keys.stream("orders.tasks"))
        return next(msgspec.json.encode(fields) for _, fields in entries if fields["id"] == task_id)

    def relay(self) -> Relay:
        blocking = redis_clients.blocking(self.settings)
        return Relay("orders", "orders.tasks", self.redis, blocking, Publisher(self.settings.rabbitmq_url, "relay"))

    def reminder(self, quiet_s: float = 1.0) -> Reminder:
        return Reminder("orders", "orders.tasks", self.redis, quiet_s)

    @contextmanager
    def relaying(self) -> Iterator[None]:
        with running(self.relay().run):
            yield
        self.end_turn()

    def end_turn(self) -> None:
        """Let the next relay begin at once, not when the lease of the last one is over."""
        self.redis.delete(keys.own("orders", "relay", "orders.tasks"))

    @contextmanager
    def working(self, job: Job, *, jobs: int = 1, quiet_s: float = 300) -> Iterator[None]:
        """A worker in this process, with the relay before it, the burial after it, and the reminder beside it."""
        url, stopping = self.settings.rabbitmq_url, threading.Event()
        runner = Runner(Leases("orders", self.redis, LEASE_S), self.documents, {MakeInvoice: job}, timeout_s=60,
                        link=lambda task_id: f"/{task_id}")  # fmt: skip
        consumer = Consumer(url, "orders", "tasks", runner.handle, topology=TOPOLOGY, jobs=jobs, steps_s=STEPS_S)
        dead = Consumer(url, "orders", "dead", Burial("orders", self.redis, stopping).handle, topology=TOPOLOGY)
        with ExitStack() as stack:
            for loop in (runner.tend, consumer.run, dead.run, self.relay().run, self.reminder(quiet_s).run):
                stack.enter_context(running(loop))
            yield
        self.end_turn()

    def worker(self, timeout_s: float = 60) -> subprocess.Popen[bytes]:
        """A worker in a process of its own, whose job is `by_name`."""
        told = {name: getattr(self.settings, name) for name in ("redis_ledger_url", "rabbitmq_url", "database_url")}
        told["task_timeout_s"] = timeout_s
        self._file.write_text(json.dumps(told))
        return subprocess.Popen([sys.executable, "-m", "tests.integration.tasks_world", str(self._file)])

    @contextmanager
    def restarting(self, timeout_s: float) -> Iterator[list[int]]:
        """A worker in a process of its own that is started again whenever it ends; with what it ended each time."""
        ended: list[int] = []

        def keep(stopping: threading.Event) -> None:
            while not stopping.is_set():
                worker = self.worker(timeout_s)
                while worker.poll() is None and not stopping.wait(0.05):
                    pass
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
                else:
                    ended.append(worker.returncode)

        with running(keep):
            yield ended
        self.end_turn()


@contextmanager
def running(loop: Callable[[threading.Event], Any]) -> Iterator[None]:
    """The loop runs in a thread of its own while the block does, and ends with it."""
    stopping = threading.Event()
    thread = threading.Thread(target=loop, args=(stopping,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def paper(message: MakeInvoice, work: Work) -> Done:
    """A job that is done at once."""
    return Done(work.store("paper.txt", "text/plain", iter([b"paper ", new_id().encode()])), "written")


def by_name(message: MakeInvoice, work: Work) -> Done:
    """`slow:<seconds>` takes so long, `slow-once:<seconds>:<file>` only the first time; `hang` never ends; `die` ends
    the process; the others are done at once.
    """
    what, _, rest = message.order_id.partition(":")
    if what == "die":
        os._exit(9)
    if what == "hang":
        threading.Event().wait()
    if what == "hopeless":
        raise Hopeless("there is nothing to write on")
    seconds, _, file = rest.partition(":")
    if what == "slow" or (what == "slow-once" and not Path(file).exists()):
        if file:
            Path(file).write_text(str(os.getpid()))
        ends = time.monotonic() + float(seconds)
        while time.monotonic() < ends:
            work.progress(50, "half of it")
            time.sleep(0.1)
    return paper(message, work)


def main(file: str) -> int:
    told = json.loads(Path(file).read_text())
    settings = OrdersSettings(**told, worker_name="killed", log_level="error")
    documents = Documents(sql.engine(settings.database_url))
    leases = Leases("orders", redis_clients.ledger(settings), LEASE_S)
    runner = Runner(leases, documents, {MakeInvoice: by_name}, timeout_s=settings.task_timeout_s,
                    link=lambda task_id: f"/{task_id}")  # fmt: skip
    return process.run("orders", "tasks", settings, lambda _: runner.handle, TOPOLOGY, beside=[runner.tend])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
