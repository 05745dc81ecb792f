"""What is going on in the shop, counted from the events of others."""
