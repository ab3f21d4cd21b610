"""A run that does not end: the steps of `catchment run` up to silver, on what is new, until somebody stops it.

`board` knows how far everybody has come, `following` reads feeds, `refining` refines what they brought, `tidying` joins
small files, `health` answers whoever asks; `going` starts and stops them all.
"""
