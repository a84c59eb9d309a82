"""What the command-line verbs share: flags, refusals, progress, worker processes."""
