"""A proxy before the index that checks signatures as a domain does."""
