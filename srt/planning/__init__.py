"""Before any work: what it will take (plan), what the machine has for it (doctor), and all that is wrong (check).

One validator tells everything at once. `srt.storage.findings` is what a complaint is; `srt.settings.values` reads a
config's values, `srt.experiment.checks` looks at what its names refer to, `paths` at its files, `access` at servers and
keys; `jobs` says which of that a job of the workflow needs, and `check` puts it together. Every check is a function
that yields findings.
"""
