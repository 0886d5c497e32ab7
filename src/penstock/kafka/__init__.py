"""The adapter of Apache Kafka: connects, takes part in consumer groups, reads records and commits offsets.

connection   settings -> the configuration of a client
member       one process's membership in a consumer group, and the records of its partitions
log          penstock's own topics: names, changes, marks
own_topics   the same at the brokers: made, described
log_writer   writes them in transactions
log_reader   reads the newest mark
partitioner  which partition a key is in
records      a record as a value
positions    the next offsets of partitions, as a position
"""
