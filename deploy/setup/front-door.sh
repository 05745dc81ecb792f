#!/bin/sh
# Nginx in Compose. Containers come and go, and their addresses with them: each second Docker's DNS is asked who is there,
# and Nginx takes the new list without dropping a request. A service that nobody runs answers 503, and holds up nobody.
#
# run/leaving: addresses that are about to leave (a line each) get no new requests. `make scale` writes it.
cd /config || exit 1

upstreams() {
    while read -r name service port; do
        printf 'upstream %s {\n    zone %s 64k;\n' "$name" "$name"
        for address in $(addresses "$service"); do
            printf '    server %s:%s max_fails=0;\n' "$address" "$port"
        done
        printf '    keepalive 32;\n    keepalive_timeout 30s;\n}\n'
    done <upstreams.list
}

addresses() {
    found=$(getent ahostsv4 "$1" | cut -d ' ' -f 1 | sort -u | grep -vxF -f run/leaving)
    echo "${found:-$NOBODY}"
}

refresh() {
    applied=$(cat run/upstreams.conf) version=$(cat version) before=
    while sleep 1; do
        now=$(upstreams) now_version=$(cat version)
        [ "$now" = "$applied" ] && [ "$now_version" = "$version" ] && continue
        # Nobody is there: believed when it is said twice, since Docker's DNS may fail once.
        case $now in *"$NOBODY"*) [ "$now" = "$before" ] || { before=$now; continue; } ;; esac
        echo "$now" >run/upstreams.conf
        nginx -e stderr -p /config/ -c nginx.conf -s reload && applied=$now version=$now_version
    done
}

NOBODY=127.0.0.255  # nothing listens there
: >>run/leaving
upstreams >run/upstreams.conf
refresh &
exec nginx -e stderr -p /config/ -c nginx.conf
