"""What penstock costs, each figure next to its limit: `make bench`, `make bench-all`."""
