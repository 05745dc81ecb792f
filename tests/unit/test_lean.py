"""What each process of the stack takes into memory before its first message: the libraries that it uses, no others.

An idle stack is some 25 Python processes; a library that all take along for a type or an error class costs 25 times.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from deploy.local import dotenv
from deploy.local.processes import table
from deploy.local.service_env import MALLOC
from sagashop.dotenv import parse
from sagashop.lean import without

TABLE = table({**parse(dotenv.EXAMPLE.read_text()), "ORDERS_REPLICAS": "1"})
WEB = {process.name for process in TABLE if "gunicorn" in process.command}
WITH_SQL = re.compile(r"storefront-.*|.*-projector|orders-(live|web-1|tasks)|(payments|fulfillment)-web")
WITH_RABBITMQ = re.compile(r"orders-tasks|fulfillment-carrier|notifications-(live|worker)")
NOBODY = re.compile(r"$.")
NEEDED_BY = {
    "flask": re.compile("|".join(WEB)),
    "spectree": re.compile("|".join(WEB)),
    "sqlalchemy": WITH_SQL,
    "pika": WITH_RABBITMQ,
    "requests": re.compile("fulfillment-carrier"),
    "stamina": re.compile("fulfillment-carrier"),
    "aiosmtpd": re.compile("mail"),
    "smtplib": re.compile("mail|notifications-mailer"),
    "redis": re.compile("(?!(mail|carrier)$).*"),
    # Loaded when the first of its kind is made, or by storefront while it migrates its tables.
    **dict.fromkeys(("fpdf", "PIL", "fontTools", "xlsxwriter", "alembic"), NOBODY),
    # Taken along by libraries, to colour what nobody looks at.
    **dict.fromkeys(("rich", "pygments"), NOBODY),
}
MODULES = {
    process.name: module[0]
    for process in TABLE
    if (module := re.findall(r"services\.[a-z_.]+(?=:|$)", " ".join(process.command[1:]).replace(" ", "\n"), re.M))
}


def loaded(code: str) -> set[str]:
    """The names of all modules in a Python that has run this."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=dotenv.REPO, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", MODULES)
def test_a_process_loads_the_libraries_that_it_uses_and_no_others(name: str) -> None:
    found = loaded(f"import {MODULES[name]}") & NEEDED_BY.keys()
    surplus = {library for library in found if not NEEDED_BY[library].fullmatch(name)}
    assert not surplus, f"{name} loads {surplus}; import it where it is used, or name the process in NEEDED_BY"


def test_every_python_process_of_the_stack_is_looked_at() -> None:
    assert {process.name for process in TABLE if process.command[0] == sys.executable} == MODULES.keys()


def test_migrating_loads_alembic_without_what_colours_its_errors() -> None:
    found = loaded("from sagashop import sql; sql.migrate(sql.engine('sqlite://'), 'services.storefront')")
    assert "alembic" in found
    assert "pygments" not in found


def test_a_library_left_out_of_another_can_be_had_afterwards() -> None:
    script = "import services, structlog, rich.console; print(structlog.dev.rich is None, rich.console.Console)"
    done = subprocess.run([sys.executable, "-c", script], cwd=dotenv.REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "True <class 'rich.console.Console'>\n"


def test_without_hides_what_is_not_loaded_and_leaves_alone_what_is() -> None:
    with without("a_library_of_nobody"), pytest.raises(ImportError, match="a_library_of_nobody"):
        __import__("a_library_of_nobody")
    assert "a_library_of_nobody" not in sys.modules
    with without("json"):
        assert __import__("json") is json


def test_memory_is_given_out_alike_in_both_modes() -> None:
    dockerfile = (dotenv.REPO / "services/Dockerfile").read_text()
    for name, value in MALLOC.items():
        assert f"{name}={value}" in dockerfile
