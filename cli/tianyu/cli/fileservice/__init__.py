"""The file service of a site: read-only, by number, for those who know the token."""
