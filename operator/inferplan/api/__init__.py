"""The wire contract: what users see in Kubernetes and over HTTP. Imports pydantic only."""
