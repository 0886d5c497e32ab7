"""What is no product: local servers, the AWS deployment on one machine, the demo, the bundles of the functions.

The product never imports it; `penstock demo`, `penstock local` and `penstock aws local` load it when it is installed.
"""
