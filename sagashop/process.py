"""What every process of ours does with its interpreter at start."""

from __future__ import annotations

import gc
import signal
import threading

STOP = frozenset({signal.SIGTERM, signal.SIGINT})


def stop_on_signals(stopping: threading.Event) -> None:
    """Set the event when the process is told to stop. Call it first: threads that were started before would die of it.

    A thread of its own waits for the signal. A handler would run in the main thread, and that may be in the middle of
    `stopping.wait`, with the very lock that `stopping.set` wants: the process would hang until it is killed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)

    def wait() -> None:
        signal.sigwait(STOP)
        stopping.set()

    threading.Thread(target=wait, name="stop", daemon=True).start()


def collect_rarely() -> None:
    """Look for cyclic garbage rarely, and never again at what start-up has made.

    A batch makes tens of thousands of short-lived objects and hardly a cycle; looking after every 700 took an eighth
    of the orders worker's time. Call it when everything is imported and made.
    """
    settle()
    gc.set_threshold(50_000, 20, 50)


def settle() -> None:
    """Take what there is out of the collector's sight. It writes to all that it looks at, also in pages that a fork
    would leave shared.
    """
    gc.collect()
    gc.freeze()
