"""Every message that crosses a service boundary: one module per producer, data only, no logic."""
