"""The local mode: the whole stack on one machine under supervisor, without Docker. `python -m deploy --help`."""
