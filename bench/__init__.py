"""How fast the shop is, measured beside what the same machine can do at all: `make bench`."""
