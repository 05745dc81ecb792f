"""What can go wrong, told to the person who typed the command."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do this. The text says what, why, and the next command to type."""
