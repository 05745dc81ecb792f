"""The web side every service shares: the application factory, sign-in, request bodies, OpenAPI."""
