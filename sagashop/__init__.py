"""The plumbing every Sagashop service shares; it knows no service."""
