"""InferPlan: measures running LLM servers, finds what limits them and plans what to change."""

__version__ = "0.1.0"
