"""Vision-language backbones and action experts of insertion_vla."""
