"""Promise suites, the crash harness and fakes: for our own tests and for the authors of plug-ins."""
