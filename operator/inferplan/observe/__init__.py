"""I/O in: Prometheus, the engine's own endpoints; and the pure assembly of what was read into an Observation."""
