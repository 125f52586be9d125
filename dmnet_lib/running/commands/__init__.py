"""One module per command: `ABOUT` and `EXAMPLES` of its help, `Options`, and `run(options, say)`.

`common` makes arguments of the fields of `Options`, and `Options` of arguments; a command that
needs another way has its own `add_arguments` or `options_of`.
"""
