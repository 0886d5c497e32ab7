"""Reads documents: by id, by a scan, or at a point in time."""
