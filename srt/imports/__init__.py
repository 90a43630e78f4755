"""What somebody has already made, checked against the original data and written as the step's own record types."""
