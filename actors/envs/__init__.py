"""Vector environments, one module a backend. Importing this package imports none of them."""
