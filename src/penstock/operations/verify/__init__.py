"""Verify: does an index hold exactly what its collection says it should? And repair it, while both are in use.

everything   the collections of the settings, one after the other
generation   one of them: both directions, going on where an interrupted one was
directions   source -> index by ranges of `_id`, index -> source by a point in time; what differs is a suspect
suspects     are looked at again in batches, after growing pauses
look         both sides of some documents, and what they say
judging      until each suspect is equal, moving, or wrong
repair       writes what the source holds
ledger       what is counted, in order; findings: what is reported
"""

from penstock.operations.verify.findings import KINDS, FindingKind, Verified, VerifyFinding, VerifyTally, causes
from penstock.operations.verify.generation import VerifyListener, VerifyOptions, verify

__all__ = [
    "KINDS",
    "FindingKind",
    "Verified",
    "VerifyFinding",
    "VerifyListener",
    "VerifyOptions",
    "VerifyTally",
    "causes",
    "verify",
]
