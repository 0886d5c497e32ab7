"""What penstock stores in the cluster: checkpoints, leases, loads, generations."""
