"""Redis Streams: the fence, the inbox, takeover, dead letters, timers, retention, and reading without a group."""
