"""From an instance's key to its plan and status: the sequence, without kopf and without HTTP."""
