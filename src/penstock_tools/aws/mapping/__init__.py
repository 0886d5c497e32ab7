"""The event source mapping, and Lambda's API for it."""
