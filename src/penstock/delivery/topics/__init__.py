"""Changes that the topics of Apache Kafka bring: `penstock apply`.

service         all indexes in one process
follower        one index: its consumer group, one pipeline for each term
stream          the records of a term, as a source
understanding   records as changes, each topic by its form
change_events   form `change-events`: records with events of the source
keys            form `keys`: the document's `_id` in a record's key
texts           the bytes of a record as BSON or JSON
"""
