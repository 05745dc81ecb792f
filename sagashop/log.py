"""Logs are events with fields, one a line on stdout: `log.info("order.reserved", order_id=…)`.

Fields bound with `bound()` (request id, trace) appear on every line written under them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN = "[hidden]"

_secret_name = re.compile(r"password|passwd|secret|token|cookie|authorization", re.IGNORECASE)
_credentials = re.compile(r"(?<=://)[^/@\s]+@")
_json = msgspec.json.Encoder(enc_hook=str)


def configure(service: str, level: str = "info", fmt: str = "json") -> None:
    """Send the logs of this process to stdout, with those of the libraries it uses (from warning up).

    level: debug, info, warning or error
    fmt:   `json`, or `console` for people
    """

    def name_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        hide_secrets,
    ]
    render: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
        if fmt == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_as_text)]
    )
    structlog.configure(
        processors=shared + render,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stdout),
    )
    _adopt_stdlib(shared, render)


def bound(**fields: str) -> AbstractContextManager[None]:
    """Within the `with`, every log line of this thread carries these fields; empty ones are left out."""
    return structlog.contextvars.bound_contextvars(**{name: value for name, value in fields.items() if value})


def current(name: str) -> str:
    """The value bound to this thread's log lines under `name` (`request_id`, `trace`), or empty."""
    return str(structlog.contextvars.get_contextvars().get(name, ""))


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank fields named like a secret, and the credentials inside URLs."""
    for name, value in event.items():
        if _secret_name.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str) and "://" in value:
            event[name] = _credentials.sub("…@", value)
    return event


def _adopt_stdlib(shared: list[structlog.types.Processor], render: list[structlog.types.Processor]) -> None:
    handler = _Stdout()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if not isinstance(h, _Stdout)] + [handler]
    root.setLevel(logging.WARNING)


class _Stdout(logging.StreamHandler[Any]):
    """Writes to stdout as it is at that moment, as the loggers above do."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


def _as_text(event: Any, **_: Any) -> str:
    try:
        return _json.encode(event).decode()
    except (UnicodeEncodeError, TypeError):  # bytes that were not text, keys that are not; json escapes them
        return json.dumps(event, default=str, skipkeys=True)
