"""What each type of source may say in catchment.yaml: one file a type."""
