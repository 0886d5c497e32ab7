"""The CAs that clients of Amazon DocumentDB trust: `global-bundle.pem`, next to this module.

`global-bundle.txt` says where the certificates come from, for which regions they are, and how to renew the file. That
is rarely needed: the first certificate expires in 2061. A new region is the reason to do it.
"""

from pathlib import Path


def path() -> Path:
    """Return the file with all of them, in PEM form, for `[source] tls_ca_file`."""
    return Path(__file__).with_name("global-bundle.pem")
