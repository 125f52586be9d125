"""One module per command: `ABOUT` and `EXAMPLES` of its help, `Options`, and `run(options, say)`.

`common` makes arguments of the fields of `Options`, and `Options` of arguments.
"""
