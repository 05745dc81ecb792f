"""What the two Redis servers are told. Their users come from `deploy/walls.py`."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.walls import Server, fingerprint

ACLFILE = "users.acl"


def redis_conf(env: Mapping[str, str], name: Server, *, listen: str, users: str, data: str) -> str:
    """The ledger has every commit on disk and refuses when full; the session server may lose a second, and drops what
    expires first. Neither drops the end of a torn file by itself: `mend_aof.py` does, and keeps a copy.

    The comment makes a new password of admin restart the server: nobody could log in to tell it of its new users.

    listen: address and port as Redis writes them, for example `bind 127.0.0.1` and `port 18000`, a line each
    users:  path of the ACL file
    data:   the folder of its data
    """
    fsync, policy = ("always", "noeviction") if name == "LEDGER" else ("everysec", "volatile-ttl")
    return (
        f"# admin: {fingerprint(env[f'REDIS_{name}_PASSWORD'])[:8]}\n"
        f"{listen}\nprotected-mode yes\n"
        f'aclfile "{users}"\n'
        f'dir "{data}"\ndaemonize no\nalways-show-logo no\n'
        f"appendonly yes\nappendfsync {fsync}\naof-load-truncated no\n"
        "auto-aof-rewrite-min-size 256mb\nsave 3600 1\n"
        f"maxmemory {env[f'REDIS_{name}_MAXMEMORY']}\nmaxmemory-policy {policy}\n"
    )
