"""Runs the functions as processes under Lambda's runtime API."""
