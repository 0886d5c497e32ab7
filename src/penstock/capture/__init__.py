"""`penstock capture`: brings the change streams of the source into the log, once for all who apply them.

service      all cursors of the settings in one process
cursor       one cursor: its standby and its terms
term         one term: from the newest mark on, in transactions
collections  what a cursor captures: the collections, by all their names, and their topics
start        what the log holds and what the brokers have, compared at the start of a term
report       how it stands, for metrics and health

Nothing here knows the index: capture works while that is away.
"""
