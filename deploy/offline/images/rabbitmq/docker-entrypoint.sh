#!/bin/sh
# Started as root it becomes rabbitmq, as the official image does; its script then becomes Erlang, so that signals arrive.
set -eu
export RUNNING_UNDER_SYSTEMD=true
if [ "$(id -u)" = 0 ]; then
    chown rabbitmq:rabbitmq /var/lib/rabbitmq
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$@"
fi
exec "$@"
