"""Scoring: the student's NLLs, and of them IFD and r-IFD; what low precision leaves in doubt; proxies and coherence."""
