"""What people ask penstock to do; the doors (command line, Lambda handlers) only call these."""
