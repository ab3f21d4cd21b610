"""The project as a web site that works without a server."""

from catchment.site.building import Site, build_site, site_folder

__all__ = ["Site", "build_site", "site_folder"]
