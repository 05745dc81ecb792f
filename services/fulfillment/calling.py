"""The carrier over HTTP: slow, failing, and somebody else's.

A call is tried three times within a few seconds (stamina). After several failures in a row the circuit is open
(pybreaker): nobody calls until the carrier had its rest, and then one call shows whether it is back. The shipment's id
is the idempotency key, so a booking that is sent twice, or whose answer was lost, is one booking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pybreaker
import requests
import stamina
import structlog
from requests.adapters import HTTPAdapter

from sagashop.errors import SagashopError

log = structlog.get_logger()

TRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S, ALL_TRIES_S = 3, 0.1, 1.0, 20.0
TRANSIENT = frozenset({408, 425, 429})


class CarrierAway(SagashopError):
    """It does not answer, or says that it cannot now. Nobody's fault: the call is made again later."""


class CarrierRefused(SagashopError):
    """It answered, and does not want this. The text says what it said."""


class Cancelled(SagashopError):
    """The booking was cancelled before it arrived; nobody comes for the parcel."""


class _Told(pybreaker.CircuitBreakerListener):
    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        log.warning("carrier.circuit", state=new_state.name)


class Carrier:
    """A way to call the carrier, for all threads of a process.

    timeout_s: for each try · failures: in a row, which open the circuit · rest_s: how long it stays open
    """

    def __init__(self, url: str, *, timeout_s: float, failures: int, rest_s: float, calls: int = 32) -> None:
        self._url, self._timeout_s, self.rest_s = url.rstrip("/"), timeout_s, rest_s
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=failures, reset_timeout=rest_s, exclude=[CarrierRefused, Cancelled], listeners=[_Told()]
        )
        self._probing = threading.Lock()
        self._http = requests.Session()
        self._http.mount("http://", HTTPAdapter(pool_maxsize=calls))
        self._http.mount("https://", HTTPAdapter(pool_maxsize=calls))

    def book(self, shipment_id: str) -> str:
        """The number under which the carrier has the parcel.

        Raises: CarrierAway, CarrierRefused; Cancelled where the shipment was cancelled before
        """
        return str(self._call("POST", "/bookings", shipment_id, {"shipment_id": shipment_id})["tracking"])

    def cancel(self, shipment_id: str) -> None:
        """No carrier comes, and a booking that arrives later is refused. Raises: CarrierAway, CarrierRefused."""
        self._call("DELETE", f"/bookings/{shipment_id}", shipment_id, None)

    def _call(self, method: str, path: str, shipment_id: str, body: object) -> Any:
        tries = stamina.retry_context(
            on=CarrierAway, attempts=TRIES, timeout=ALL_TRIES_S, wait_initial=FIRST_PAUSE_S, wait_max=LONGEST_PAUSE_S
        )
        try:
            for attempt in tries:
                with attempt:
                    return self._guarded(partial(self._once, method, path, shipment_id, body))
        except pybreaker.CircuitBreakerError as is_open:
            raise CarrierAway(f"the carrier is left in peace after {self._breaker.fail_counter} failures") from is_open
        raise AssertionError("stamina tries at least once")

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Call unless the circuit is open. Once its rest is over, one shows whether the carrier is back, and the others
        wait for what it finds.

        pybreaker lets one call at a time through its own lock, so in good times it is told the outcome alone.
        """
        if self._breaker.current_state != pybreaker.STATE_CLOSED:
            with self._probing:
                if self._breaker.current_state != pybreaker.STATE_CLOSED:
                    return self._breaker.call(call)
        try:
            answer = call()
        except SagashopError as why:
            self._breaker.call(_raised, why)
            raise
        with suppress(pybreaker.CircuitBreakerError):  # others have opened it meanwhile; this answer is good
            self._breaker.call(lambda: answer)
        return answer

    def _once(self, method: str, path: str, shipment_id: str, body: object) -> Any:
        try:
            answer = self._http.request(
                method, self._url + path, json=body, timeout=self._timeout_s, headers={"Idempotency-Key": shipment_id}
            )
        except requests.RequestException as why:
            raise CarrierAway(f"{type(why).__name__}: no answer from the carrier at {self._url}") from why
        if answer.status_code >= 500 or answer.status_code in TRANSIENT:
            raise CarrierAway(f"the carrier answered {answer.status_code}")
        if answer.status_code == 409:
            raise Cancelled(f"{shipment_id} is cancelled")
        if answer.status_code >= 400:
            raise CarrierRefused(f"the carrier answered {answer.status_code}: {answer.text[:200]}")
        return answer.json()


def _raised(why: SagashopError) -> None:
    raise why
