"""The authorities that clients of Amazon DocumentDB trust: `global-bundle.pem`, beside this module.

`global-bundle.txt` says where the certificates come from, for which regions they are, and how the file is renewed.
Renewing is rarely needed: the first of them expires in 2061. A new region is the reason for it.
"""

from pathlib import Path


def path() -> Path:
    """The file with all of them, in PEM form, for `[source] tls_ca_file`."""
    return Path(__file__).with_name("global-bundle.pem")
