"""What tests, faults and benchmarks stand on: servers to reach, workers to run, proxies that do harm, values to try."""
