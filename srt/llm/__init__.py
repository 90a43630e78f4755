"""Asking models: requests and completions, backends in process and over HTTP, journalled answers and what they cost."""
