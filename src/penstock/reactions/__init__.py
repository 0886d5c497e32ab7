"""Reactions: changes of some collections, given to a target, at least once and in order per document.

event      a change becomes a CloudEvent
where      the condition on the document
delivery   the loop: source -> events -> target -> checkpoint
target     what a target is, and what it answers
targets    the targets that there are, one module each
"""
