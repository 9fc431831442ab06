"""The command `fastmlp`: `main` reads the options, and there is a module a command."""
