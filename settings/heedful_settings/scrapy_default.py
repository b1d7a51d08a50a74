"""Scrapy's settings for `heedful crawl`: polite, quiet, and guarded.

The command adds where to store and the `HEEDFUL_` settings.
"""

BOT_NAME = "heedful"
ADDONS = {"heedful.scrapy.Addon": 500}

# heedful reads robots.txt itself, for pages too, and under concurrency lets no first request through.
ROBOTSTXT_OBEY = False

ITEM_PIPELINES = {"scrapy.pipelines.images.ImagesPipeline": 1}
MEDIA_ALLOW_REDIRECTS = True

# Slow sites are asked slowly, fast ones are not kept waiting.
AUTOTHROTTLE_ENABLED = True
AUTOTHROTTLE_START_DELAY = 0.1
AUTOTHROTTLE_MAX_DELAY = 10.0
AUTOTHROTTLE_TARGET_CONCURRENCY = 4.0
CONCURRENT_REQUESTS = 32
CONCURRENT_REQUESTS_PER_DOMAIN = 4
DOWNLOAD_TIMEOUT = 60
COOKIES_ENABLED = False
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False  # likewise: nobody is to steer a crawl through a port
