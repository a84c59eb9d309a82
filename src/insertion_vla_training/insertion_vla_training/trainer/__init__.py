"""The parts of `train`, which is the recipe that puts them together."""
