"""Robot back ends: each speaks to one kind of arm controller."""
