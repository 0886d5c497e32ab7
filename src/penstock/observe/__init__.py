"""What is visible of a process from outside: metrics, health, log lines and the wording they share."""
