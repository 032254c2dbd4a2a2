"""One file an architecture, each with `build(structure, input_shape, classes) -> (stages, head)`."""
