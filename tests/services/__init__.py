"""The same promises against real servers, which the suite starts and stops itself; `make services` installs them."""
