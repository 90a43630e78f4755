"""The report's tables: ours beside the paper's, each number with its error."""
