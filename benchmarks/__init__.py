"""What penstock costs, each figure beside its limit: `make bench`, `make bench-all`."""
