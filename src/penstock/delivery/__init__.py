"""Changes that others bring: one batch of the sync function, or parked keys from the queue."""
