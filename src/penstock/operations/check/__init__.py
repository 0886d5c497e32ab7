"""`penstock check`: can it work with these settings, and what to do where it cannot."""
