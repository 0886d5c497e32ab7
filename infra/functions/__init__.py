"""The stack of the four functions: what calls them, what they may do, and what watches them.

stack           joins the parts
servers         the cluster, the domain and the queue
assets          the code, built for the architecture
variables       what each function is told
domain_access   policies of what each role may ask of the domain (penstock.lambdas.permissions)
roles           one role a function, with the least that works
functions       the functions and their logs
mapping         the event source mapping, and the change stream before it
gateway         the HTTP API
operations      the task that runs `penstock` commands inside the network; operations_role, its rights
metrics         what is measured; alarms and dashboard read it
findings        ids of cdk-nag's findings about wildcards and policies, to accept them
"""
