"""An engine's language: its flags, its arguments, its version's defaults. Pure."""
