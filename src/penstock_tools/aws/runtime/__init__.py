"""The functions as processes under Lambda's own runtime API."""
