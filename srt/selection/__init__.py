"""Selection: the methods as pure functions, the ledger of what they decide, the step."""
