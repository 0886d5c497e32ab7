"""All pipelines in one process: started, kept alive, loaded, followed, ended."""
