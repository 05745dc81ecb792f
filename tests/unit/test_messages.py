"""Messages and their envelope survive the wire, and what does not fit is refused."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.orders import Line, OrderPlaced
from contracts.storefront import Activity
from sagashop import keys
from sagashop.errors import MalformedMessage
from sagashop.messages import Catalogue, Envelope, Message, encode, new_id
from sagashop.saga import Change, Status

text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
nested = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
CATALOGUE = Catalogue([Activity, OrderPlaced])
FIELDS = Envelope(message=Activity(kind="login", visitor_id="v"), id="i", time_ms=1, producer="p").fields()


@pytest.mark.feature("F01")
@given(tags=st.dictionaries(text, nested, max_size=5), visitor=text)
def test_nested_values_survive_the_wire(tags: dict[str, object], visitor: str) -> None:
    sent = Envelope(
        message=Activity(kind="purchase", visitor_id=visitor, tags=tags), id=new_id(), time_ms=7, producer="p"
    )
    assert all(isinstance(value, str) for value in sent.fields().values())
    assert CATALOGUE.open(sent.fields()) == sent


def test_an_event_with_its_history_survives_the_wire() -> None:
    line = Line(sku="MUG", quantity=2, price_cents=100, name="Mug, “blue”\n")
    placed = OrderPlaced(
        order_id="o1", customer_id="c1", lines=[line], total_cents=200, changes=[Change("stock", Status.ASKED)]
    )
    sent = Envelope(
        message=placed, id="order:o1.1", time_ms=1, producer="orders", trace="00-t", aggregate="order:o1", sequence=1
    )
    assert CATALOGUE.open(sent.fields()) == sent


@pytest.mark.feature("F13")
@pytest.mark.parametrize("name", ["type", "version", "id", "time_ms", "producer", "data"])
def test_a_missing_field_is_malformed(name: str) -> None:
    with pytest.raises(MalformedMessage, match=name):
        CATALOGUE.open({field: value for field, value in FIELDS.items() if field != name})


@pytest.mark.feature("F13")
@pytest.mark.parametrize(
    "change",
    [
        {"data": "{"},
        {"data": "[]"},
        {"data": '{"kind":"login"}'},
        {"data": '{"kind":"dance","visitor_id":"v"}'},
        {"data": "\udcff\udcfe"},
        {"time_ms": "yesterday"},
        {"sequence": "first"},
        {"type": "Nonsense"},
        {"type": "\udcff"},
        {"version": "2"},
        {"version": "two"},
    ],
)
def test_what_does_not_fit_is_malformed(change: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage) as refused:
        CATALOGUE.open({**FIELDS, **change})
    str(refused.value).encode()  # the reason can be logged and stored


def test_fields_that_newer_code_adds_are_passed_over() -> None:
    data = '{"kind":"login","visitor_id":"v","mood":"fine"}'
    assert CATALOGUE.open({**FIELDS, "data": data, "more": "1"}) == CATALOGUE.open(FIELDS)


def test_equal_messages_have_equal_bytes() -> None:
    """A timer is found again by its bytes."""
    assert encode(Line(sku="a", quantity=1)) == encode(Line(quantity=1, sku="a", name="", price_cents=0))


def test_a_message_knows_its_channel_and_the_channel_its_stream() -> None:
    class Older(Message):
        channel: ClassVar[str] = "toy.events"
        version: ClassVar[int] = 3

    assert (Older.channel, Older.version) == ("toy.events", 3)
    assert keys.stream(Older.channel) == keys.own("toy", "events")
    assert "Older" in Catalogue([Older])
    assert "Newer" not in Catalogue([Older])
