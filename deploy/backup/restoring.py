"""Putting a backup back: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.backup import manifest as manifests
from deploy.backup.manifest import Manifest
from deploy.backup.order import JOURNALS, Stores
from deploy.backup.redis_store import let_trim
from deploy.backup.relaying import relay_again
from deploy.backup.site import Site
from deploy.local.errors import StackError
from sagashop.cli.shop import Shop
from sagashop.errors import SagashopError

Say = Callable[[str], None]
REPUBLISH = "/admin/storefront/republish"


def examine(site: Site, backup: Path) -> Manifest:
    """What `restore` would put back. Touches nothing.

    Raises: StackError when it is damaged, or not for this stack.
    """
    manifest = manifests.read(backup)
    if manifest.sql != site.sql:
        raise StackError(
            f"{backup} was taken from {manifest.sql}, and this stack keeps its databases in {site.sql}. "
            "Set DATABASE_URL and MODE in .env as they were, then restore."
        )
    if _numbers(manifest.redis) > _numbers(ours := Stores(site).ledger.program_version()):
        raise StackError(f"{backup} was written by Redis {manifest.redis}, and Redis {ours} here cannot read it.")
    known = {store.name: store.file for store in Stores(site).all}
    unknown = [part.store for part in manifest.parts if known.get(part.store) != part.file]
    if unknown:
        raise StackError(f"{backup} has data of {', '.join(unknown)}, which this version of Sagashop does not have.")
    return manifest


def _numbers(version: str) -> list[int]:
    """Major and minor, by which the format of a dump may change."""
    return [int(number) for number in version.split(".")[:2]]


def restore(site: Site, backup: Path, manifest: Manifest, say: Say) -> None:
    """Stop the stack, put the data back and start it. What was there is kept until the stack is ready.

    Raises: StackError; the stack is stopped then, with the data from before.
    """
    with site.alone():
        say("Stopping the stack")
        site.stop()
        stores = Stores(site)
        files = {part.store: backup / part.file for part in manifest.parts}
        try:
            for store in stores.all:
                store.set_aside()
                if store.name in files:
                    say(f"Putting back {store.name}")
                    store.load(files[store.name])
            say("Starting the stack")
            site.start()
            _finish(site, stores, files, say)
        except BaseException as error:
            site.stop()
            for store in stores.all:
                store.put_back()
            if isinstance(error, (StackError, SagashopError, OSError)):
                raise StackError(
                    f"the backup was not restored: {error}\n"
                    "  The stack is stopped and has the data from before. `make up` goes on with them."
                ) from error
            raise
        for store in stores.all:
            store.forget()


def _finish(site: Site, stores: Stores, files: dict[str, Path], say: Say) -> None:
    """What only a running stack can do."""
    if stores.rabbit.name in files:
        stores.rabbit.load_running(files[stores.rabbit.name])
    if site.env["BUS"] == "rabbitmq":
        relay_again(stores.ledger)
    let_trim(stores.ledger, JOURNALS)  # the projectors are ready, and so where SQL says
    if site.env["OPERATOR_EMAIL"]:
        shop = Shop(site.url).log_in(site.env["OPERATOR_EMAIL"], site.env["OPERATOR_PASSWORD"])
        shop.post(REPUBLISH)  # who came while the backup was taken is in storefront's database only
    else:
        say(f"There is no operator: have POST {REPUBLISH} called, in case customers came during the backup.")
