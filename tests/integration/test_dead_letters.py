"""Dead letters: each is shown whole, and leaves once, by replay or discard."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sagashop import keys
from sagashop.streams.dead_letters import DeadLetters, as_json
from tests.integration.toy import COMMANDS, Count, Toy

pytestmark = pytest.mark.feature("F14")


@pytest.fixture
def toy(redis_ledger: str) -> Toy:
    """A toy with one dead letter: a Count whose mood is unbearable."""
    toy = Toy(redis_ledger, max_deliveries=1)
    toy.tell(Count("a", mood="raise"))
    toy.work()
    assert len(toy.letters) == 1
    return toy


def letter_id(toy: Toy) -> str:
    return toy.letters.page()[0].id


def test_a_mended_letter_is_replayed_once(toy: Toy) -> None:
    assert toy.letters.replay(letter_id(toy), {"data": '{"name":"a"}'})
    toy.work()
    assert (toy.row("a"), len(toy.letters), toy.counted()) == ({"n": "1"}, 0, ["a"])


def test_a_letter_that_is_not_mended_comes_back(toy: Toy) -> None:
    first = toy.letters.page()[0]
    assert toy.letters.replay(first.id)
    toy.work()
    (second,) = toy.letters.page()
    assert second.id != first.id
    assert (second.source, second.fields) == (keys.replay("toy"), first.fields)


def test_many_replays_at_once_are_one(toy: Toy) -> None:
    letter, change = letter_id(toy), {"data": '{"name":"a"}'}
    with ThreadPoolExecutor(8) as pool:
        replayed = list(pool.map(lambda _: DeadLetters(toy.redis, "toy").replay(letter, change), range(8)))
    toy.work()
    assert replayed.count(True) == 1
    assert toy.row("a") == {"n": "1"}


def test_a_discarded_letter_is_gone_and_can_be_replayed_no_more(toy: Toy) -> None:
    letter = letter_id(toy)
    assert toy.letters.discard(letter)
    assert not toy.letters.discard(letter)
    assert not toy.letters.replay(letter)
    assert toy.letters.get(letter) is None
    toy.work()
    assert toy.row("a") == {}


def test_letters_are_shown_page_by_page(toy: Toy) -> None:
    toy.tell(*(Count(f"b{n}", mood="raise") for n in range(4)))
    toy.work()
    first = toy.letters.page(limit=3)
    rest = toy.letters.page(after=first[-1].id, limit=3)
    assert [len(first), len(rest)] == [3, 2]
    assert len({letter.id for letter in first + rest}) == 5
    assert toy.letters.get(first[1].id) == first[1]
    assert toy.letters.page(after=rest[-1].id) == []


def test_foreign_bytes_come_back_unharmed_and_are_shown_escaped(toy: Toy) -> None:
    toy.redis.xadd(COMMANDS, {b"data": b"\xff\x00", b"\xfe": b"x"})
    toy.work()
    letter = toy.letters.page()[-1]
    shown = as_json(letter)
    assert shown["fields"] == {"data": "\\udcff\x00", "\\udcfe": "x"}
    assert toy.letters.replay(letter.id)
    ((_, replayed),) = toy.entries(keys.replay("toy"))
    assert replayed == letter.fields


def test_a_letter_that_cannot_be_replayed_stays(toy: Toy) -> None:
    """More fields than Lua can pass on: the script fails before it takes the letter out."""
    toy.redis.xadd(COMMANDS, {f"f{n}": "x" for n in range(5_000)})
    toy.work()
    letter = toy.letters.page()[-1]
    with pytest.raises(Exception, match="unpack"):
        toy.letters.replay(letter.id)
    assert toy.letters.get(letter.id) == letter
    assert toy.letters.discard(letter.id)
