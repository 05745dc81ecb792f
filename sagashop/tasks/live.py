"""The progress of a task as it happens (SSE), for a gevent process: an open stream costs a greenlet, no API thread.

Each stream looks at its task's row, every 0.2 s, and less often while nothing changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
from flask import Blueprint, Response

from sagashop.errors import NotLoggedIn, Unavailable
from sagashop.tasks.desk import NoTask, Tasks
from sagashop.tasks.task import Task
from sagashop.tasks.web import TaskView
from sagashop.web.auth import require_login
from sagashop.web.inputs import Answer, accepts

RETRY_MS = 2_000
FIRST_LOOK_S, LONGEST_PAUSE_S = 0.2, 1.0


class Streams:
    """The open streams of this process.

    limit:       how many at a time
    heartbeat_s: a silent stream gives a sign of life so often
    longest_s:   a stream ends after so long; a browser comes again by itself
    """

    def __init__(self, tasks: Tasks, *, limit: int, heartbeat_s: float, longest_s: float) -> None:
        self._tasks, self._places = tasks, threading.Semaphore(limit)
        self._heartbeat_s, self._longest_s = heartbeat_s, longest_s
        self._closing = False

    def close(self) -> None:
        """Let everybody go within a second or so. It only sets a flag, so that a signal handler may call it."""
        self._closing = True

    def enter(self) -> None:
        """Take a place. Raises: Unavailable where there is none."""
        if self._closing or not self._places.acquire(blocking=False):
            raise Unavailable("Too many event streams are open.", retry_after_s=10)

    def leave(self) -> None:
        self._places.release()

    def told(self, task_id: str) -> Iterator[str]:
        """The stream's text: the task whenever it has changed, until it is over, gone, or the time is up."""
        yield f"retry: {RETRY_MS}\n\n"
        seen, pause_s, spoken = b"", FIRST_LOOK_S, time.monotonic()
        ends = spoken + self._longest_s
        while not self._closing and time.monotonic() < ends:
            task = self._look(task_id)
            if task is None:
                return
            shown = msgspec.json.encode(TaskView.of(task))
            if shown != seen:
                seen, pause_s, spoken = shown, FIRST_LOOK_S, time.monotonic()
                yield f"event: {task.status}\ndata: {shown.decode()}\n\n"
            elif time.monotonic() - spoken > self._heartbeat_s:
                spoken = time.monotonic()
                yield ": still here\n\n"
            if not task.is_open:
                return
            time.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.2)

    def _look(self, task_id: str) -> Task | None:
        """None where the task is gone, or cannot be seen now: the browser comes again."""
        try:
            return self._tasks.find(task_id)
        except Unavailable:
            return None


def tasks_live(tasks: Tasks, streams: Streams, prefix: str) -> Blueprint:
    """`<prefix>/<task_id>/events`."""
    routes = Blueprint("tasks_live", __name__, url_prefix=prefix)

    @routes.get("/<task_id>/events")
    @accepts(problems=[NotLoggedIn, NoTask])
    def events(task_id: str) -> Answer:
        """The task as it stands, and again whenever it changes."""
        tasks.seen_by(require_login(), task_id)
        streams.enter()
        response = Response(streams.told(task_id), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
        response.call_on_close(streams.leave)
        return response

    return routes
