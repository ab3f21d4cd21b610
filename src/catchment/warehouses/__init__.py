"""Where gold lives. Each file keeps `interfaces.Warehouse` for one technology."""
