"""The adapter of Apache Kafka: connects, takes part in consumer groups, reads records and commits offsets.

connection   settings -> the configuration of a client
member       one process's membership in a consumer group, and the records of its partitions
log          penstock's own topics: names, changes, marks
own_topics   the same at the brokers: made, described
log_writer   writes them in transactions
mark_reader  reads the marks
control_stream  the marks that a group has passed, as a source
passed_mark  one of them as a position
topic_facts  the ids of topics, and where their partitions begin
partitioner  which partition a key is in
tasks        a topic of tasks, and how far a group is with them
behind       how many records a member has to go
records      a record as a value
positions    the next offsets of partitions, as a position
"""
