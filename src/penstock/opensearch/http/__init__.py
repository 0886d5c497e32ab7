"""Speaks HTTP to the cluster: requests, signing, waiting, and what its errors mean."""
