"""What `preflight` looks at, one module per device or resource; each gives rows of its table."""
