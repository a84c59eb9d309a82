"""Camera sources: each opens one device and hands over frames with the time at which they were taken."""
