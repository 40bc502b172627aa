# A page that predicts offline as an image, for clusters: the directory that `fivefold export --to browser` wrote is the build's whole
# context. nginx serves it, the compressed files beside the others among them:
#
#     fivefold export --model bundles/demo --to browser site --hub https://hub.example
#     docker build -f services/site.Dockerfile -t registry.example/pages/breast-cancer:1 site
#
# The chart runs it where `site.enabled` is true; by itself:
#
#     docker run --read-only --tmpfs /tmp -p 127.0.0.1:8080:8080 registry.example/pages/breast-cancer:1

# By digest, where one is known: --build-arg BASE_IMAGE=debian:bookworm-slim@sha256:DIGEST.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends nginx-light libnginx-mod-http-brotli-static \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/dpkg.log /var/log/apt /var/www

RUN printf '%s\n' \
    'pid /tmp/nginx.pid;' \
    'worker_processes 1;' \
    'error_log /dev/stderr warn;' \
    'include /etc/nginx/modules-enabled/*.conf;' \
    'events { worker_connections 1024; }' \
    'http {' \
    '  client_body_temp_path /tmp/body;' \
    '  proxy_temp_path /tmp/proxy;' \
    '  fastcgi_temp_path /tmp/fastcgi;' \
    '  uwsgi_temp_path /tmp/uwsgi;' \
    '  scgi_temp_path /tmp/scgi;' \
    '  client_max_body_size 1;' \
    '  log_format json escape=json "{\"time\": \"$time_iso8601\", \"method\": \"$request_method\", \"path\": \"$uri\", \"status\": $status, \"bytes\": $bytes_sent, \"seconds\": $request_time, \"coding\": \"$sent_http_content_encoding\"}";' \
    '  access_log /dev/stdout json;' \
    '  server_tokens off;' \
    '  sendfile on;' \
    '  types {' \
    '    text/html html;' \
    '    text/css css;' \
    '    text/javascript js mjs;' \
    '    text/plain txt md;' \
    '    application/json json;' \
    '    application/manifest+json webmanifest;' \
    '    application/wasm wasm;' \
    '    image/png png;' \
    '    image/svg+xml svg;' \
    '  }' \
    '  default_type application/octet-stream;' \
    '  gzip_static on;' \
    '  brotli_static on;' \
    '  gzip_vary on;' \
    '  # What lies there is named by its digest; all else says which of it is the newest.' \
    '  map $uri $keep {' \
    '    default no-cache;' \
    '    "~/(assets|models)/[^/]" "public, max-age=31536000, immutable";' \
    '  }' \
    '  server {' \
    '    include /tmp/listen.conf;' \
    '    root /tmp/www;' \
    '    index index.html;' \
    '    # A proxy in front has another scheme, host and port.' \
    '    absolute_redirect off;' \
    '    add_header cache-control $keep;' \
    '    add_header x-content-type-options nosniff always;' \
    '    location = /livez {' \
    '      access_log off;' \
    '      default_type text/plain;' \
    '      return 200 "";' \
    '    }' \
    '  }' \
    '}' \
    > /etc/nginx/nginx.conf

# SITE_PATH: where the page is on its host, such as /site. Nothing but /tmp is written to. Nodes may know no IPv6 at all.
RUN printf '%s\n' \
    '#!/bin/sh' \
    'set -eu' \
    ': "${SITE_PATH:=/}"' \
    'rm -rf /tmp/www' \
    'place="/tmp/www${SITE_PATH%/}"' \
    'mkdir -p "${place%/*}"' \
    'ln -s /site "$place"' \
    'echo "listen 8080;" >/tmp/listen.conf' \
    '[ ! -e /proc/net/if_inet6 ] || echo "listen [::]:8080;" >>/tmp/listen.conf' \
    'exec nginx -g "daemon off;"' \
    > /usr/local/bin/serve-site \
 && chmod 755 /usr/local/bin/serve-site

COPY --chmod=a+rX . /site/
# What is no exported page has no page to show.
RUN test -s /site/index.html && test -s /site/service-worker.js && test -s /site/integrity.json
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
# nginx ends its connections nicely on this one.
STOPSIGNAL SIGQUIT
CMD ["serve-site"]
