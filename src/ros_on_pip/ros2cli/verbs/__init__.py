"""One module per verb of the `ros2` command."""
