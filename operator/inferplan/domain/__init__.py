"""What the planner thinks in: no Kubernetes words, no I/O, no clock."""
