"""One module a command for batch work on real data: arguments in, files and one line each out."""
