"""How a process runs: threads, waits between attempts, memory that is kept, parts not installed."""
