"""Gold: the user's dbt project, run in a process of its own against a build that nobody sees until it is green."""
