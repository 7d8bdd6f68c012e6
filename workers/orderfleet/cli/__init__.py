"""The command line, which is also the entry point of every pod. Each command has a module of its own.

`main` lists the commands. Nothing heavier than typer is imported before a command runs.
"""
