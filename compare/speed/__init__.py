"""How fast a training step is beside the alternatives, all measured in one run."""
