"""The subcommands of ``sigpy-priors``: one file each, imports inside ``run``."""
