"""What engines refuse or ignore although their parsers accept every single flag, one function a rule. Pure."""
