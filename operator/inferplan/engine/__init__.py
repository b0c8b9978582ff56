"""From an observation to one plan: ask the optimizers, guard, rank, compose, explain. Pure."""
