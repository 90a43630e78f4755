"""One validator: what is wrong with a config and with what it names, all of it at once, before any work.

`finding` is what a complaint is; `values` reads a config's values, `names` looks at what its names refer to, `paths` at
its files, `access` at servers and keys; `jobs` says which of that a job of the workflow needs, and `whole` puts it
together. Every check is a function that yields findings.
"""
