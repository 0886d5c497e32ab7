"""`penstock dead-letters`: list, show, replay and drop."""
