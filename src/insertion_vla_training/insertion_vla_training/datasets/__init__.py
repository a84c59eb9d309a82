"""Training samples from stores: causal windows, labels, features of a drawn age, a repeatable order."""
