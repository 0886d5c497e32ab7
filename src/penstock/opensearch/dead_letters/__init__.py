"""Dead letters: stored by pipelines, searched and removed for people."""
