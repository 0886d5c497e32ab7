"""What happens to a collection as such: found by a pattern, dropped, renamed, gone without an event."""
