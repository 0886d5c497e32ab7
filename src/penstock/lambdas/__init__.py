"""The handlers of the AWS deployment: one file for each function, with its `handler`."""
