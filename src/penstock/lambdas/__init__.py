"""The handlers of the AWS deployment: one file for each function, its `handler` at the end."""
