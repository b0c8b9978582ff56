"""The only package that knows kopf: credentials, watches, and the process around them."""
