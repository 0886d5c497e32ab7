"""The stack of the four functions: what calls them, what they may do, and what watches them.

stack           joins the parts
assets          the code, built for the architecture
variables       what each function is told
domain_access   which requests to the domain each role may make
roles           one role a function, with the least that works
functions       the functions and their logs
mapping         the event source mapping, and the change stream before it
gateway         the HTTP API
operations      the task that runs `penstock` commands inside the network
metrics         what is measured; alarms and dashboard read it
accepted        findings of cdk-nag that stand, with reasons
"""
