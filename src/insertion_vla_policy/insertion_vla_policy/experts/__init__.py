"""Experts: observations to action chunks."""
