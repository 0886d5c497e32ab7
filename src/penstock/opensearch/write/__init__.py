"""Writes documents, and deals with what the index refuses."""
