"""A mapping for a collection, from a sample of its documents.

profile     what the documents hold: for each field the kinds of its values, how long its texts are, how many names
proposal    what the index should be for that, and what is to be said of it
sampling    reads the sample, in bounded memory
"""
