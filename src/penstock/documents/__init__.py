"""Turns a BSON document into a JSON body: which fields, in which form, under which id. Pure functions, no driver."""
