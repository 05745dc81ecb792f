"""The seven services. A service imports `sagashop` and `contracts`, never another service."""

from importlib import import_module

from sagashop.lean import without

with without("rich"):  # structlog can colour tracebacks with it; in a process of the stack they are lines of a log
    import_module("structlog")
