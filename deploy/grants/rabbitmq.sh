#!/bin/sh
# The account of RabbitMQ for managers and consumers: their own queues and exchanges, and no other.
# Run as an administrator: VHOST=tianyu NAME=tianyu PASSWORD=… sh rabbitmq.sh
set -eu
rabbitmqctl add_user "$NAME" "$PASSWORD"
# In this order: declare, send to, read from. Hints are sent through the default exchange.
rabbitmqctl set_permissions -p "$VHOST" "$NAME" \
    '^(dead:)?tianyu\..*' \
    '^((dead:)?tianyu\..*|amq\.default)$' \
    '^(dead:)?tianyu\..*'
