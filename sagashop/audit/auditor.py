"""The auditor: asks every house through the front door, side by side, and joins their answers to one report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from sagashop.audit.facts import Check, Fact, LetterFact, OpenWork, Tally, from_lines
from sagashop.audit.house import DEAD_LETTERS, FAILED_JOBS, FAILED_TASKS
from sagashop.audit.join import HOUSE, Joined
from sagashop.errors import SagashopError

Get = Callable[[str], bytes]
"""Path in, the body of the answer out. It is called from several threads."""

SERVICES = ("orders", "payments", "fulfillment", "storefront", "notifications", "analytics")
T = TypeVar("T")
LOOK_EVERY_S = 0.5
LOOKS = 10
"""So often the auditor begins anew when something moved meanwhile: the answer to a repeated call, say, which nobody
waits for."""
UNWATCHED = "storefront.behaviour"
"""Visitors who only look around do not disturb an audit."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came out. `orders`: the status of each order; `letters`: the dead letters, of each house the first 20."""

    checks: list[Check]
    letters: list[LetterFact]
    orders: dict[str, str]
    took_s: float

    @property
    def wrong(self) -> list[Check]:
        return [check for check in self.checks if check.wrong]

    @property
    def ok(self) -> bool:
        return not self.wrong

    @property
    def statuses(self) -> Counter[str]:
        return Counter(self.orders.values())

    def assert_all(self, accepted: Iterable[str] = ()) -> None:
        """Raises AssertionError naming each check that does not hold, and each accepted order that is not there."""
        complaints = [f"{c.house}: {c.name}: {c.wrong} of {c.looked_at}: {c.examples}" for c in self.wrong]
        complaints += [f"order {order_id} was accepted, and is lost" for order_id in set(accepted) - self.orders.keys()]
        assert not complaints, "\n".join(complaints)


class Auditor:
    """Examines a shop. It changes nothing, so it may be repeated as often as one likes."""

    def __init__(self, get: Get, services: Sequence[str] = SERVICES) -> None:
        self._get, self._services = get, services

    def wait_until_quiet(self, within_s: float) -> bool:
        """Wait until nothing is under way anywhere, nor has moved between two looks; False if that takes longer.

        Timers count: a parcel that waits for its carrier is work under way. So does what nobody can tell.
        """
        deadline, before = time.monotonic() + within_s, None
        while True:
            now = self._open_work_if_it_answers()
            if now and now == before and all(work.quiet for work in now.values()):
                return True
            if time.monotonic() > deadline:
                return False
            before = now
            time.sleep(LOOK_EVERY_S)

    def report(self, allow_dead_letters: int = 0, allow_failed: int = 0) -> Report:
        """Examine every house, and what they say together; again, where something moved meanwhile.

        allow_dead_letters: so many, over all houses, are not held against the shop
        allow_failed:       so many failed tasks, and so many failed jobs, neither
        """
        started = time.monotonic()
        for _ in range(LOOKS):
            before, answers = self._open_work(), self._ask_all("", from_lines)
            still = self._still(before)
            if not still.wrong:
                break
            time.sleep(LOOK_EVERY_S)
        facts = [fact for found, _ in answers.values() for fact in found]
        checks = [fact for fact in facts if isinstance(fact, Check)]
        joined = Joined(facts)
        checks += [*joined.checks(), self._whole(answers), still]
        return Report(
            checks=list(_lenient(checks, allow_dead_letters, allow_failed)),
            letters=[fact for fact in facts if isinstance(fact, LetterFact)],
            orders={order.order_id: order.status for order in joined.orders.values()},
            took_s=round(time.monotonic() - started, 2),
        )

    def _open_work_if_it_answers(self) -> dict[str, OpenWork] | None:
        """A shop that is starting, or whose Redis is away, is not quiet yet."""
        try:
            return self._open_work()
        except SagashopError:
            return None

    def _open_work(self) -> dict[str, OpenWork]:
        return self._ask_all("/open-work", msgspec.json.Decoder(OpenWork).decode)

    def _ask_all(self, path: str, read: Callable[[bytes], T]) -> dict[str, T]:
        with ThreadPoolExecutor(len(self._services)) as pool:
            bodies = pool.map(lambda service: self._get(f"/admin/{service}/audit{path}"), self._services)
            return {service: read(body) for service, body in zip(self._services, bodies, strict=True)}

    def _whole(self, answers: dict[str, tuple[list[Fact], bool]]) -> Check:
        tally = Tally("every house has answered to the end")
        for service, (_, complete) in answers.items():
            tally.saw()
            if not complete:
                tally.found(f"{service} broke off: see its log")
        return tally.check(HOUSE)

    def _still(self, before: dict[str, OpenWork]) -> Check:
        """Houses that are read one after the other agree only while nothing moves."""
        tally, after = Tally("nothing moved while the auditor looked"), self._open_work()
        for service, work in after.items():
            for channel, tip in work.tips.items():
                tally.saw()
                if tip != before[service].tips.get(channel) and channel != UNWATCHED:
                    tally.found(f"{channel} went on; wait for the end of the work with --wait")
        return tally.check(HOUSE)


def _lenient(checks: Iterable[Check], letters: int, failed: int) -> Iterator[Check]:
    """Take what is allowed out of the count of what is wrong."""
    allowed = {DEAD_LETTERS: letters, FAILED_TASKS: failed, FAILED_JOBS: failed}
    for check in checks:
        if check.wrong and check.name in allowed:
            forgiven = min(allowed[check.name], check.wrong)
            allowed[check.name] -= forgiven
            yield msgspec.structs.replace(check, wrong=check.wrong - forgiven)
        else:
            yield check


def as_data(report: Report) -> dict[str, Any]:
    """For `--json`: the checks, the dead letters, and how many orders are in which status."""
    return {
        "ok": report.ok,
        "checks": msgspec.to_builtins(report.checks),
        "dead_letters": msgspec.to_builtins(report.letters),
        "orders": dict(report.statuses),
        "took_s": report.took_s,
    }
