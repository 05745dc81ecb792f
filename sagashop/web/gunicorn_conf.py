"""How every web process runs: `gunicorn -c sagashop/web/gunicorn_conf.py 'services.<name>.app:create()'`.

One process each, so that a replica is a process of its own name and port; threads serve its requests.
Environment: BIND_HOST, PORT (must be given), WEB_THREADS.
"""

from __future__ import annotations

import ctypes
import os
import signal

from sagashop.process import collect_rarely, settle

bind = f"{os.environ.get('BIND_HOST', '127.0.0.1')}:{os.environ['PORT']}"
workers = 1
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "16"))
backlog = 512

timeout = 30
graceful_timeout = 10
keepalive = 75  # longer than nginx keeps an idle connection (60 s), or nginx may send into a closing one

control_socket_disable = True
limit_request_line = 8190  # as long as nginx lets it be (its buffer of 8 KiB), so that nginx says what is too long

accesslog = None  # the application writes a structured line per request
loglevel = "warning"
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a heartbeat must not wait for a disk


def pre_fork(server: object, worker: object) -> None:
    """The worker shares what it leaves as it is. The application is not made before the fork: it would then be there
    twice where the worker uses it, and a master without it is smaller (docs/performance.md).
    """
    settle()


def post_fork(server: object, worker: object) -> None:
    """End with the master: killed by SIGKILL it cannot stop its worker, which would keep the port from the next one."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def post_worker_init(worker: object) -> None:
    """The application is made, the first request is yet to come. What making it took goes back: storefront hashes."""
    collect_rarely()
    ctypes.CDLL(None).malloc_trim(0)
