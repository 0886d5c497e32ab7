"""A proxy in front of the index that checks signatures as a domain does."""
