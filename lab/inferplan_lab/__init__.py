"""The real parts that demo, tests and benchmarks share: control plane, node, engine simulator, load."""
