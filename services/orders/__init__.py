"""The order and its checkout saga."""
