"""Files of a stopped server, set aside and put back where they lie. They are renamed, so no disk fills up.

An earlier restore may have been killed. Then what it had set aside is the data to return to, and what lies in its place
is half of a backup.
"""

from __future__ import annotations

from deploy.backup.site import Site

SET_ASIDE = """
if [ -d "$ASIDE" ]; then rm -rf -- $WHAT; exit; fi
mkdir -p "$ASIDE.part"
for each in $WHAT; do [ ! -e "$each" ] || mv -- "$each" "$ASIDE.part/"; done
mv "$ASIDE.part" "$ASIDE"
"""
PUT_BACK = """
if [ -d "$ASIDE" ]; then rm -rf -- $WHAT; mv "$ASIDE" "$ASIDE.part"; fi
for each in "$ASIDE.part"/*; do [ ! -e "$each" ] || mv -- "$each" .; done
rm -rf "$ASIDE.part"
"""
FORGET = 'rm -rf "$ASIDE"'


class Files:
    """what: patterns of the shell, in the folder of the server's data"""

    def __init__(self, site: Site, server: str, what: str, name: str = "data") -> None:
        self._site, self._server = site, server
        self._variables = {"WHAT": what, "ASIDE": f".replaced-{name}"}

    def set_aside(self) -> None:
        self._run(SET_ASIDE)

    def put_back(self) -> None:
        self._run(PUT_BACK)

    def forget(self) -> None:
        self._run(FORGET)

    def _run(self, script: str) -> None:
        self._site.run(self._server, script, variables=self._variables)
