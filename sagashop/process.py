"""What every process of ours does with its interpreter at start."""

from __future__ import annotations

import gc


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
