"""How tables rest: formats, and the progress that rides in their commits."""
