"""The data half of insertion_vla: bags to datasets, without ROS."""
