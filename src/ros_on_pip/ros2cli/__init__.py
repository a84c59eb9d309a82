"""The `ros2` command: a plain table of verbs, each imported only when it is called."""
