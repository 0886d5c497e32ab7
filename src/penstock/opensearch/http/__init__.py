"""HTTP to the cluster: requests, authorisation, waiting, and what errors mean."""
