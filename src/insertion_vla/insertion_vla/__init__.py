"""The ROS 2 nodes, launch files and command-line tools of insertion_vla."""
