"""Closed-loop episodes of a policy in lock-step, what is measured in them, and the report over them."""
