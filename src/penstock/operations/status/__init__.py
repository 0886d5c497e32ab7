"""`penstock status`: how far everything is."""
