"""The command `fastmlp`: `main` reads the options, and each command has a module."""
