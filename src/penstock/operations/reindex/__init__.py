"""`penstock reindex`: a new index next to the one that is searched, and the move to it."""
