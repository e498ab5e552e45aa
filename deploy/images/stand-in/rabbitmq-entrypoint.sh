#!/bin/sh
# What the public image's entry point does, as far as Tianyu needs it: the first account from
# RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS and RABBITMQ_DEFAULT_VHOST, which the server reads
# itself; then run the server under its own account.
set -eu

if [ "${1:-}" != rabbitmq-server ] || [ "$(id -u)" != 0 ]; then
    exec "$@"
fi
install -d -o rabbitmq -g rabbitmq /var/lib/rabbitmq /var/lib/rabbitmq/mnesia /var/log/rabbitmq
exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$@"
