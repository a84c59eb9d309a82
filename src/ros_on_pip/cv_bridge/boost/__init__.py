"""Where upstream keeps the compiled part; here the same functions over OpenCV's Python binding."""
