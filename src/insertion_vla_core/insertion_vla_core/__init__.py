"""Geometry, kinematics, time alignment, chunks, the gate, wire codecs and the contract of insertion_vla. No ROS, no torch."""
