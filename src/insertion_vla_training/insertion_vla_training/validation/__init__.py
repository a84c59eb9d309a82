"""Errors of a policy on validation episodes, beside baselines; the verb is `validate`."""
