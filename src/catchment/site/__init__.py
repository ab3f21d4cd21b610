"""The project as a web site that works without a server."""

from catchment.site.building import FOLDER, Site, build_site

__all__ = ["FOLDER", "Site", "build_site"]
