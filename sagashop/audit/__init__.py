"""The audit: each service examines its own house, and the auditor joins what they say. `sagashop audit` runs it."""
