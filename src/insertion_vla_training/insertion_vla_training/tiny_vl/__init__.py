"""Training of the backbone tiny_vl: frames, losses, report; the verb is `train-tiny-vl`."""
