"""Backbones: images and an instruction to feature tokens."""
