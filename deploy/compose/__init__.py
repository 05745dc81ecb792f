"""The stack as containers: what `make` and the tests do with Docker Compose."""
