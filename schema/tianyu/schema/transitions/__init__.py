"""Every change of a process's state, and nothing else changes one.

Each function takes a connection inside a writing transaction and leaves committing to its
caller. Which file does what:

=============  =========================================================
publish        a whole graph, in one transaction
dispatch       ready → queued, and back when a message is lost
claim          ready or queued → running, heartbeats
finish         running → succeeded, failed, ready again or cancelled
leases         running → ready or failed when a worker vanished
blocking       waiting ↔ blocked, whichever way an ancestor went
operator       cancel and rescue, by people
audit          recomputes the counters and reports drift
=============  =========================================================
"""
