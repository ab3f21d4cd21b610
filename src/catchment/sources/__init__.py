"""Where rows come from: one file per technology, each an implementation of `catchment.interfaces.Source`."""
