"""Stock on the shelves, and the parcels that leave them."""
