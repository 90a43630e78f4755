"""Golden runs: each step on small fixed inputs, and the hashes of what it writes, beside the step's version."""
