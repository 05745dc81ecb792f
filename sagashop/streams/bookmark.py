"""A reader's place in a stream, for readers that keep it themselves.

The projector's place is in SQL, in the transaction of its rows. It needs no delivery and no acknowledgement from Redis,
which would write each of them to its file: it reads plainly, and then moves a group that nobody reads with, so that
trimming, lag and the monitor see it like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis import Redis


class Bookmark:
    """The place of `group` in `stream`: everything up to and including this entry is done.

    Redis tells a group's lag from how many entries were read before its place, which only we can tell it. Where we do
    not know (a group set to a place in the middle), the lag is unknown until the end is reached once.
    """

    def __init__(self, redis: Redis, stream: str, group: str) -> None:
        self._redis, self._stream, self._group = redis, stream, group
        self._passed: int | None = None

    def open(self, place: str) -> None:
        """Make the group where it is missing, and set it to this place."""
        try:
            self._redis.xgroup_create(self._stream, self._group, id=place, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        known = self._look()
        self._passed = known["entries-read"] if known["last-delivered-id"] == place else None
        if known["last-delivered-id"] != place:
            self._redis.xgroup_setid(self._stream, self._group, place)
        self.check()

    def move(self, place: str, entries: int) -> None:
        """Go on by so many entries, to this place.

        Raises:
            ResponseError: the group is gone.
        """
        if self._passed is not None:
            self._passed += entries
        self._redis.xgroup_setid(self._stream, self._group, place, entries_read=self._passed)

    def check(self) -> None:
        """Look whether the group is still there; a good moment is when nothing comes.

        Raises:
            ResponseError: the group is gone.
        """
        known = self._look()
        if self._passed is None and known["lag"] is not None:
            self._passed = known["entries-added"] - known["lag"]
            self.move(known["last-delivered-id"], 0)

    def _look(self) -> dict[str, Any]:
        info: dict[str, Any] = self._redis.xinfo_stream(self._stream, full=True)
        for group in info["groups"]:
            if group["name"] == self._group:
                return {**group, "entries-added": info["entries-added"]}
        raise ResponseError(f"NOGROUP {self._group} on {self._stream} is gone")
