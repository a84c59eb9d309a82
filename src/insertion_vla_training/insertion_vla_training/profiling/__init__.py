"""What `profile` is made of: made-up observations, timing of policies, the budget, tables and plot."""
