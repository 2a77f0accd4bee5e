"""The command lines, one file per command; all other packages return, these print."""
