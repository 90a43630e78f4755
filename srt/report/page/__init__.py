"""The report as a page, the cards of data and models, and where every number comes from."""
