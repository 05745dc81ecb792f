"""Orders, payments and fulfillment without servers: their real handlers, a network that delivers in any order.

A commit is guarded as Redis guards it, so that decisions on old rows conflict and are made again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from contracts.orders import Line
from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop.audit.facts import Fact, GoodsFact, PaymentFact
from sagashop.audit.join import Joined
from sagashop.effects import Add, Below, Command, Effects, Expect, Recorded, Rows, SetTimer, apply_to
from sagashop.handlers import Handlers
from sagashop.messages import Message, encode
from sagashop.saga import Saga
from services.fulfillment import store as shelves
from services.fulfillment.domain import Reservation
from services.fulfillment.handlers import make_handlers as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.orders import store
from services.orders.audit import fact_of
from services.orders.domain import SETTLED, Order, StepOverdue, cancel, evolve, place
from services.orders.handlers import make_handlers as orders
from services.orders.saga import checkout
from services.payments import store as accounts
from services.payments.accounts import Terms
from services.payments.domain import Payment, State
from services.payments.handlers import make_handlers as payments
from tests.unit.parcels import carrier_in_memory

OPENING = 3
WELCOME_CENTS = 500
MUG_CENTS = 100
CUSTOMER = "c1"

Flight = tuple[str, Message]
"""A message on its way to this service."""


class World:
    """`flying` are the messages on their way, `timers` those that wait, `history` every recorded event."""

    def __init__(self, saga: Saga = checkout) -> None:
        self.saga, self.rows = saga, {}
        self.services: dict[str, Handlers] = {
            "orders": orders(saga),
            "payments": payments(Terms(welcome_credit_cents=WELCOME_CENTS, payment_limit_cents=400)),
            "fulfillment": fulfillment(FulfillmentSettings(opening_stock=OPENING)),
            "carrier": carrier_in_memory(),
        }
        self.flying: list[Flight] = []
        self.timers: dict[tuple[str, str], Flight] = {}
        self.history: dict[str, list[Message]] = defaultdict(list)
        self.sent: list[Command] = []
        mug = ProductPriced(sku="MUG", revision=1, name="Mug", category="kitchen", price_cents=MUG_CENTS)
        self._send(
            CustomerRegistered(customer_id=CUSTOMER, revision=1, name="Demo Customer", email="d@sagashop.example")
        )
        self._send(mug)
        self.run()

    rows: Rows

    # -- what people do

    def place(self, order_id: str = "o1", quantity: int = 1) -> None:
        line = Line(sku="MUG", quantity=quantity, price_cents=MUG_CENTS, name="Mug")
        self.commit("orders", store.record(self.saga, None, place(self.saga, order_id, CUSTOMER, [line])))

    def cancellation(self, order_id: str = "o1") -> Effects | None:
        """The effects of a cancellation decided now; None where it changes nothing."""
        order = self.order(order_id)
        event = cancel(self.saga, order, "changed my mind")
        return store.record(self.saga, order, event) if event else None

    def cancel(self, order_id: str = "o1") -> bool:
        effects = self.cancellation(order_id)
        return effects is not None and self.commit("orders", effects)

    # -- what the network does

    def deliver(self, wanted: int | type[Message], order_id: str = "", *, keep: bool = False,
                meanwhile: Callable[[], object] = lambda: None) -> Effects:  # fmt: skip
        """Deliver one message on its way, by place or by type; `meanwhile` happens between its decision and commit.

        keep: it will come a second time
        """
        place = wanted if isinstance(wanted, int) else self._find(wanted, order_id)
        service, message = self.flying[place] if keep else self.flying.pop(place)
        effects = self._decide(service, message)
        meanwhile()
        while not self.commit(service, effects):
            effects = self._decide(service, message)
        return effects

    def lose(self, wanted: int | type[Message], order_id: str = "") -> Flight:
        """A message becomes a dead letter that nobody replays."""
        return self.flying.pop(wanted if isinstance(wanted, int) else self._find(wanted, order_id))

    def fire(self, place: int) -> None:
        """The timer at this place goes off; its message is on its way."""
        self.flying.append(self.timers.pop(list(self.timers)[place]))

    def overdue(self, step: str, order_id: str = "o1") -> None:
        """The step's timer goes off and arrives."""
        waiting = [m for _, m in self.timers.values() if isinstance(m, StepOverdue)]
        timer = next(m for m in waiting if (m.order_id, m.step) == (order_id, step))
        self.flying.insert(0, self.timers.pop(("orders", encode(timer))))
        self.deliver(0)

    def run(self) -> None:
        """Deliver all that is on its way, and what follows from it; no timer goes off."""
        for _ in range(10_000):
            if not self.flying:
                return
            self.deliver(0)
        raise AssertionError("the messages never end")

    def settle(self) -> None:
        """Until nothing is on its way and no timer runs."""
        for _ in range(1_000):
            self.run()
            if not self.timers:
                return
            self.fire(-1)  # the carrier's answer is due at once, and was set after its reminder
        raise AssertionError(f"never settled: {self.timers}")

    # -- commits

    def commit(self, service: str, effects: Effects) -> bool:
        adds = [write for write in effects.write if isinstance(write, Add)]
        if not all(self._holds(guard) for guard in [*effects.expect, *adds]):
            return False
        apply_to(effects, self.rows)
        for timer in effects.timers:
            owner = timer.message.channel.partition(".")[0]
            name = (owner, encode(timer.message))
            self.timers.pop(name, None)
            if isinstance(timer, SetTimer):
                self.timers[name] = (owner, timer.message)
        for emission in effects.emit:
            if isinstance(emission, Recorded):
                self.history[emission.aggregate].append(emission.message)
                assert emission.sequence == len(self.history[emission.aggregate]), "no gap and no fork"
            elif isinstance(emission, Command) and service == "orders":
                self.sent.append(emission)
            self._send(emission if isinstance(emission, Message) else emission.message)
        return True

    def _send(self, message: Message) -> None:
        kind = type(message)
        for name, handlers in self.services.items():
            if kind in handlers.types and kind.channel in handlers.channels:
                self.flying.append((name, message))

    def _decide(self, service: str, message: Message) -> Effects:
        handlers = self.services[service]
        return handlers.decide(message, self.load(handlers.keys(message)))

    def load(self, keys: Iterable[str]) -> Rows:
        """These rows as they are now; what is done to the answer is not done to them."""
        return {key: dict(self.rows.get(key, {})) for key in keys}

    def _holds(self, guard: Expect | Below | Add) -> bool:
        held = self.rows.get(guard.key, {}).get(guard.field)
        match guard:
            case Expect(_, _, value):
                return held == (None if value is None else str(value))
            case Below(_, _, limit):
                return int(held or 0) < limit
            case Add(_, _, by, floor):
                return floor is None or int(held or 0) + by >= floor

    def _find(self, wanted: type[Message], order_id: str) -> int:
        for number, (_, message) in enumerate(self.flying):
            if isinstance(message, wanted) and order_id in ("", message.order_id):  # type: ignore[attr-defined]
                return number
        raise AssertionError(f"no {wanted.__name__} is on its way, only {[type(m).__name__ for _, m in self.flying]}")

    # -- what is so

    def order(self, order_id: str = "o1") -> Order:
        order = store.read_order(self.rows, order_id)
        assert order is not None
        return order

    def events(self, order_id: str = "o1") -> list[str]:
        return [type(event).__name__ for event in self.history[store.aggregate(order_id)]]

    def commands(self, order_id: str = "o1") -> list[str]:
        """Every command sent, repetitions too."""
        return [type(c.message).__name__ for c in self.sent if c.message.order_id == order_id]  # type: ignore[attr-defined]

    def payment(self, order_id: str = "o1") -> Payment:
        return accounts.payment_of(order_id, CUSTOMER, self.rows.get(accounts.payment_key(order_id), {}))

    def reservation(self, order_id: str = "o1") -> Reservation:
        return shelves.reservation_from(order_id, self.rows.get(shelves.reservation_key(order_id), {}))

    @property
    def balance(self) -> tuple[int, int]:
        account = accounts.account_of(CUSTOMER, self.rows[accounts.account_key(CUSTOMER)])
        return account.available_cents, account.held_cents

    @property
    def mugs(self) -> tuple[int, int, int]:
        shelf = shelves.shelf_from("MUG", self.rows[shelves.shelf_key("MUG")])
        return shelf.available, shelf.reserved, shelf.sold


def check_history(world: World, order_id: str) -> None:
    """The stored order is the fold of its events, and its version counts them."""
    folded: Order | None = None
    for event in world.history[store.aggregate(order_id)]:
        folded = evolve(world.saga, folded, event)
    stored = world.order(order_id)
    assert folded == stored
    assert stored.version == len(world.history[store.aggregate(order_id)])
    row = world.rows[store.order_key(order_id)]
    assert (row["version"], row["status"]) == (str(stored.version), stored.status)


OUTCOMES: dict[str, tuple[set[State], set[str]]] = {
    "completed": ({State.CAPTURED}, {"shipping", "shipped"}),
    "rejected": ({State.UNKNOWN, State.DECLINED, State.RELEASED}, {"unknown", "rejected", "released"}),
    "cancelled": ({State.UNKNOWN, State.DECLINED, State.RELEASED}, {"unknown", "rejected", "released"}),
    "refunded": ({State.REFUNDED}, {"recalled", "shipped"}),
}
"""What must be true of the payment and the goods once an order is settled."""


def check_outcome(world: World, order_id: str) -> None:
    """The order is settled, and money and goods are where its status says."""
    order = world.order(order_id)
    assert order.status in SETTLED
    payment_states, goods = OUTCOMES[order.status]
    assert world.payment(order_id).state in payment_states
    assert world.reservation(order_id).status in goods


def check_audit(world: World, order_ids: Sequence[str]) -> None:
    """At rest, the auditor finds that money and goods are where the orders say, and that each undo was asked for."""
    checks = list(Joined(_facts(world, order_ids)).checks())
    assert not [check for check in checks if check.wrong]


def _facts(world: World, order_ids: Sequence[str]) -> Iterator[Fact]:
    """What the houses would tell of these orders; a house tells nothing of what it has no event of."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for aggregate, history in world.history.items():
        for event in history:
            house = aggregate.partition(":")[0]
            told[f"{house} {getattr(event, 'order_id', '')}"][type(event).__name__] += 1
    for order_id in order_ids:
        yield fact_of(world.order(order_id))
        if events := told.get(f"account {order_id}"):
            paid = world.payment(order_id)
            yield PaymentFact(
                order_id=order_id, customer_id=paid.customer_id, status=paid.state.value,
                amount_cents=paid.amount_cents, events=dict(events),
            )  # fmt: skip
        if events := told.get(f"reservation {order_id}"):
            goods = world.reservation(order_id)
            items = {item.sku: item.quantity for item in goods.items}
            yield GoodsFact(order_id=order_id, status=goods.status, items=items, events=dict(events))


def check_sums(world: World) -> None:
    """No cent and no mug appears or vanishes."""
    totals = {place: int(cents) for place, cents in world.rows.get(accounts.TOTALS, {}).items()}
    assert sum(totals.values()) == 0
    assert (totals.get("available", 0), totals.get("held", 0)) == world.balance
    assert min(*world.mugs, *world.balance) >= 0
    assert sum(world.mugs) == OPENING


def undone_twice(world: World, order_id: str) -> Counter[str]:
    """Compensations that took effect more than once."""
    effects = Counter(
        type(event).__name__
        for events in world.history.values()
        for event in events
        if getattr(event, "order_id", "") == order_id
        and type(event).__name__ in ("StockReleased", "PaymentReleased", "PaymentRefunded", "ShipmentCancelled")
    )
    return Counter({name: count for name, count in effects.items() if count > 1})
