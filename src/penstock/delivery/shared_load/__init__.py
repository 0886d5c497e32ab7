"""The load of a collection that topics feed, shared by several processes.

service     `penstock load`: plans what nobody has planned, and takes part until all is done
watch       in `penstock apply`: takes part in whatever load is under way, and sees it to its end
conductor   one load under the lease of its pipeline: planned, waited for; then the worker's loader ends it as any other
member      one process's share: a member of the group of the load, one pipeline for each term
stream      the ranges of a term, as a source
task        a range as a record
"""
