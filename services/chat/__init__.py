"""Talking to one another in the shop. Nothing of it is built yet but its place in the house."""
