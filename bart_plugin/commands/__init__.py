"""What the plugin adds to the command line: one command a file."""
