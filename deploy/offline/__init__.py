"""For machines that reach no registry: an engine, Compose, and images made from Debian packages."""
