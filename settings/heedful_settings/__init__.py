"""The shipped policies (TOML) and the Scrapy settings of `heedful crawl`."""
