"""Real servers on this machine, from registries' packages alone: OpenSearch, and a source with change streams.

    platform.py     both servers together
    opensearch.py   the OpenSearch server
    source.py       the local source
    child.py        one server as a child process: start, readiness, stop
    java.py         the Java to run them on, and our Java classes, compiled once
    jars.py         the jars, pinned in jars.lock, fetched once
    command.py      `penstock local up`

Product code never imports this package.
"""
