"""Stores and bags in other people's formats, one module per format; see docs/exporting.md."""
