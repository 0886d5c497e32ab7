"""What several commands read, and none writes: records, state, liveness, differences."""
