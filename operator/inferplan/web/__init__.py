"""The HTTP service: routes that call the same functions as the operator. Only `app` and `server` know FastAPI."""
