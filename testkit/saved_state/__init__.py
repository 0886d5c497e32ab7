"""What earlier versions of penstock left in OpenSearch: recorded once, and put back where a later version goes on.

A recording has the name of the version or the commit that wrote it. Before a stored form changes, record the version
before it as well.
"""
