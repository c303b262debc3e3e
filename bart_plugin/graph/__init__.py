"""TensorFlow graphs for BART, written without TensorFlow, and what BART asks of them."""
