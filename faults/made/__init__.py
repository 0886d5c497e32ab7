"""The faults, one file for each family. Importing this registers all of them, the most important first."""

from faults.made import processes, servers, connections, answers, loads, indexes, documents, history, log  # noqa: F401, I001
