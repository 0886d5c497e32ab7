"""What the outside sees of a process: metrics, health, log lines and the wording they share."""
