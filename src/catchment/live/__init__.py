"""Live: what silver committed, into a store of figures."""
