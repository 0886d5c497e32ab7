"""The stack of the four functions: what calls them, what they may do, and what monitors them.

stack           connects the parts
servers         the cluster, the domain and the queue
assets          the code, built for the architecture
variables       the environment variables of each function
domain_access   policies for the requests of each role to the domain (penstock.lambdas.permissions)
roles           one role per function, with the least permissions that work
sync_functions  one sync function for all collections, or one for each
functions       the functions and their logs
mapping         the event source mapping, and the change stream before it
gateway         the HTTP API
operations      the task that runs `penstock` commands inside the network; operations_role, its permissions
metrics         the metrics that alarms and dashboard use
findings        ids of cdk-nag's findings about wildcards and policies, to accept them
"""
