"""Arithmetic of memory: what weights, KV cache and batch buffers take. Pure."""
