"""What `analyze` is made of: logs of runs, what is measured in them, targets, and the report."""
