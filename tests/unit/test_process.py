"""What every process of ours does with its interpreter at start."""

from __future__ import annotations

import subprocess
import sys

import pytest

TOLD_IN_THE_MIDDLE_OF_A_WAIT = """
import os, signal, sys, threading, time
from sagashop.process import stop_on_signals

stopping = threading.Event()
stop_on_signals(stopping)
with stopping._cond:  # as Event.wait holds it, for a moment
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(0.2)
sys.exit(0 if stopping.wait(10) else 1)
"""


@pytest.mark.parametrize("number", ["15", "2"], ids=["SIGTERM", "SIGINT"])
def test_a_process_that_is_told_to_stop_in_the_middle_of_a_wait_does_stop(number: str) -> None:
    command = [sys.executable, "-c", TOLD_IN_THE_MIDDLE_OF_A_WAIT, number]
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
