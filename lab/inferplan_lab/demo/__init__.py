"""The demo: a badly tuned vLLM under load, and InferPlan finding out what limits it."""
