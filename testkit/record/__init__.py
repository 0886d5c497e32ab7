"""What is asked of a real server and of the local source, to hold one against the other."""
