"""The command line, and with it the entry point of every pod. One file a noun.

`main` holds the table of contents; nothing heavier than typer is imported before a command runs.
"""
