"""What penstock remembers in the cluster: checkpoints, leases, loads, generations."""
