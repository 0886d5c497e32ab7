"""The seams in memory; they pass the same contract tests as the real ones."""
