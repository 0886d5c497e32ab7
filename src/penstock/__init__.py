"""Keep OpenSearch indexes in step with DocumentDB and MongoDB collections."""
