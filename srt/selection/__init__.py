"""Selection: the methods as objects, the two phases, the ledger of what they decide, the step."""
