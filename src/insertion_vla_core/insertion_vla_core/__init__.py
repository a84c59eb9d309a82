"""Geometry, kinematics, time alignment, chunks, the gate, wire codecs and the contract. No ROS, no torch."""
