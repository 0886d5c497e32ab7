"""`penstock explain`: why a document is, or is not, in the index as one expects."""
