"""What Compose runs before the servers and the services: it writes their configuration, and makes the databases."""
