"""Ready-made spiders that crawl with heedful switched on."""
