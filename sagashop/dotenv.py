"""Reading `.env`: lines of `NAME=value`."""


def parse(text: str) -> dict[str, str]:
    """The settings in this text; comments and empty lines are skipped, a pair of quotes around a value is taken off."""
    pairs = (
        line.split("=", 1) for line in map(str.strip, text.splitlines()) if "=" in line and not line.startswith("#")
    )
    return {name.strip(): _unquoted(value.strip()) for name, value in pairs}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
