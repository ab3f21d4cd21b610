"""A project as files and settings for systems that others run; applied only when somebody asks for it."""
