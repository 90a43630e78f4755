"""The experiment as somebody wrote it down: config, run table, and where each artefact lies."""
