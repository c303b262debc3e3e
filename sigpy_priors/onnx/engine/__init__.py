"""ONNX graphs run in onnxruntime, or node by node in torch. Knows no prior."""
