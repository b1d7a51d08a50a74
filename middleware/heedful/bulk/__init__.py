"""Bulk work: lists of URLs are filtered and tagged, stored datasets are audited."""
