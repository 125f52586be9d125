"""One module per command: `Options` and `run(options, say)`; help.toml has `ABOUT` and `EXAMPLES`.

A module has those itself where they are made of what the library knows. `common` makes arguments of
the fields of `Options`, and `Options` of arguments.
"""
