"""Prepare: raw instruction data as pairs, each under the hash of its content."""
