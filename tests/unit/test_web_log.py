"""Log lines: fields, bound ids, and no secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sagashop import log


@pytest.fixture(autouse=True)
def _default_logging() -> Iterator[None]:
    yield
    log.configure("tests")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_one_json_line_with_its_fields_and_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    structlog.get_logger().info("order.reserved", order_id="o1", lines=2)
    (line,) = lines(capsys)
    assert (line["event"], line["order_id"], line["lines"]) == ("order.reserved", "o1", 2)
    assert (line["service"], line["level"], line["timestamp"][-1]) == ("orders", "info", "Z")


def test_what_is_bound_appears_on_the_lines_under_it_only(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    with log.bound(request_id="r1", trace=""):
        structlog.get_logger().info("inside")
        assert log.current("request_id") == "r1"
    structlog.get_logger().info("outside")
    inside, outside = lines(capsys)
    assert inside["request_id"] == "r1"
    assert "trace" not in inside
    assert "request_id" not in outside


def test_secrets_and_credentials_in_urls_are_blanked(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    structlog.get_logger().info(
        "start",
        demo_password="hunter2",
        session_token="hunter2",
        set_cookie="hunter2",
        url="redis://me:hunter2@host:1/0",
    )
    (line,) = lines(capsys)
    assert "hunter2" not in json.dumps(line)
    assert line["url"] == "redis://…@host:1/0"


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders", "warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_warnings_of_libraries_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    log.configure("orders")
    logging.getLogger("library").warning("closed: %s", "amqp://me:hunter2@host")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["service"]) == ("closed: amqp://…@host", "library", "orders")


def test_an_exception_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    try:
        raise ValueError("wrong")
    except ValueError:
        structlog.get_logger().exception("handler.failed")
    (line,) = lines(capsys)
    assert "ValueError: wrong" in line["exception"]


def test_bytes_that_are_not_text_do_not_break_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders")
    structlog.get_logger().info("entry.dead", field=b"\xff".decode(errors="surrogateescape"))
    assert [line["event"] for line in lines(capsys)] == ["entry.dead"]


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("orders", fmt="console")
    structlog.get_logger().info("order.reserved", order_id="o1")
    text = capsys.readouterr().out
    assert "order.reserved" in text
    assert not text.startswith("{")
