"""Ground floor: how figures look, and how they are saved."""
