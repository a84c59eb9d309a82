"""Device emulators: each speaks one of the lab's wire protocols, none knows ROS."""
