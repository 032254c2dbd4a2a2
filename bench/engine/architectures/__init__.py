"""One file an architecture, each with `build(structure, input_shape, outputs) -> Network`."""
