"""Typed configuration: the schema, its loader, and the experiment files that are shipped with them."""
