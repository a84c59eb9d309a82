"""Episodes of the scripted expert in lock-step, as bags; the verb is `collect`."""
