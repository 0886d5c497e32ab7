"""Stands for the code of the functions, so that templates are made without building it."""
