"""What only AWS needs: signed requests, the cluster's secret and CA bundle, the queue of parked keys."""
