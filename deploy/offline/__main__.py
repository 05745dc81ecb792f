"""`python -m deploy.offline` (`make base-images`): stand-ins for the images of Compose, under their names in .env."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.local import dotenv
from deploy.local.errors import StackError
from deploy.offline import stand_ins


def main() -> None:
    env_file = Path(os.environ.get("SAGASHOP_ENV") or dotenv.REPO / ".env")
    stand_ins.make(dotenv.settings(env_file, os.environ))


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        sys.exit(f"sagashop: {error}")
