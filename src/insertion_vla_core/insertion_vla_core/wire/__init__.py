"""Codecs of the lab's wire formats: bytes in, SI values out, and back."""
