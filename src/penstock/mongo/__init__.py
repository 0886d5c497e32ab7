"""The source adapter: change streams and loads of MongoDB and DocumentDB collections, over pymongo.

connection    the client, what the server is, its cluster time
collections   what databases and collections hold, documents by id
stream        changes from a change stream         (watch, cursor, events, detour, position)
load          the initial copy of a collection     (ranges)
error_table   what each of the server's errors means
"""
