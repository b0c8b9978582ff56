"""From a plan to a workload that runs it, and back: what is to be done next, and whether it helped. Pure.

Nothing here waits, writes or asks: `reconcile` reads what there is, asks `apply` what follows, and does it.
"""
