"""Stands for the code of the operations task, so that templates are made without building it."""
