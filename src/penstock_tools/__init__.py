"""Tools around the product: local servers, the AWS deployment on one machine, the demo, the bundles of the functions.

The product never imports them; `penstock demo`, `penstock local` and `penstock aws local` load them if installed.
"""
