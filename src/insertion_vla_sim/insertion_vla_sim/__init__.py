"""MuJoCo world and device emulators that stand in for the hardware of insertion_vla."""
