"""Creates indexes, compares them with their definition, and checks them."""
