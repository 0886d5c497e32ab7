"""Reads documents: by their ids, by a scan, at one point in time."""
