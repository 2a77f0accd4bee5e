"""Command lines, one file per command; only this package prints."""
