"""What limits an instance, from what was measured; and whether its targets hold. Pure."""
