"""Configuration of the servers that both run modes share: what it says is the same, only where things lie differs."""
