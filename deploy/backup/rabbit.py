"""RabbitMQ: what it was told to have (queues, exchanges, bindings), without users, policies and messages.

Users and policies come from the settings when it starts. Messages are on their way, like what lies in a socket; see
the decision.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.backup.aside import Files
from deploy.backup.site import Site

NAME, FILE = "rabbitmq", "rabbitmq.json"
FROM_SETTINGS = ("users", "permissions", "topic_permissions", "policies")
EXPORT = "rabbitmqctl --quiet --timeout 120 export_definitions - --format json"
# From a file: from a pipe, rabbitmqctl of RabbitMQ 4 never comes to the end of its input.
IMPORT = """
file=$(mktemp)
trap 'rm -f "$file"' EXIT
cat > "$file"
rabbitmqctl --quiet --timeout 120 import_definitions "$file"
"""


class RabbitStore:
    """Its definitions. They are taken in once it runs."""

    name, file = NAME, FILE

    def __init__(self, site: Site) -> None:
        self._site = site
        files = Files(site, NAME, "data mnesia")  # as the local mode and the images call it
        self.set_aside, self.put_back, self.forget = files.set_aside, files.put_back, files.forget

    def save(self, to: Path) -> None:
        text = self._site.run(NAME, EXPORT)
        definitions = json.loads(text[text.index("{") :])
        to.write_text(
            json.dumps({name: each for name, each in definitions.items() if name not in FROM_SETTINGS}, indent=1)
        )

    def load(self, file: Path) -> None:
        """Does nothing: see `load_running`."""

    def load_running(self, file: Path) -> None:
        """Declare everything again; what is there already stays."""
        with file.open("rb") as definitions:
            self._site.run(NAME, IMPORT, stdin=definitions)
