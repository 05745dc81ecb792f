"""`python -m deploy.setup files|databases`: the two one-shot containers. They run at each `up`; twice is as once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.local.errors import StackError
from deploy.setup import databases, files

CONFIG = Path("/config")


def main(part: str) -> None:
    if part == "databases":
        databases.make(os.environ)
    else:
        files.write(CONFIG, os.environ)
        files.tell_running_servers(os.environ)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except StackError as error:
        sys.exit(f"setup: {error}")
