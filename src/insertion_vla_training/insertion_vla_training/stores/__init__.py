"""The store: all episodes of a data set in Zarr arrays, and what is computed from them."""
