"""The OpenSearch adapter: sink, indexes, state and dead letters over plain HTTP."""
