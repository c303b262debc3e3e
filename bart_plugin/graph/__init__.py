"""Torch modules as files that BART loads: GraphDef and TorchScript. Knows no prior."""
