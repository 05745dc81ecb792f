#!/bin/sh
# Nginx in Compose. Containers come and go, and their addresses with them: each second Docker's DNS is asked who is there,
# and Nginx takes the new list without dropping a request. A service that nobody runs answers 503, and holds up nobody.
#
# run/leaving: addresses that are about to leave, a line each, get no new requests. `make scale` writes it.
cd "$(dirname "$0")" || exit 1

there() {  # `service address`, a line for each container that runs; only the first of a service comes with its name
    getent ahostsv4 $(cut -d ' ' -f 2 upstreams.list) |
        awk '$2 == "STREAM" { if ($3) service = $3; print service, $1 }' | sort | grep -vwF -f run/leaving
}

upstreams() {
    there | awk '
        FILENAME == "-" { servers[$1] = servers[$1] "    server " $2 ":PORT max_fails=0;\n"; next }
        {
            list = ($2 in servers) ? servers[$2] : "    server '"$NOBODY"':PORT;\n"
            gsub("PORT", $3, list)
            printf "upstream %s {\n    zone %s 64k;\n%s    keepalive 32;\n    keepalive_timeout 30s;\n}\n", $1, $1, list
        }' - upstreams.list
}

refresh() {
    applied=$(cat run/upstreams.conf) version=$(cat version) before=
    while sleep 1; do
        now=$(upstreams) now_version=$(cat version)
        [ "$now" = "$applied" ] && [ "$now_version" = "$version" ] && continue
        # Nobody is there: believed when it is said twice, since a look-up may fail once.
        case $now in *"$NOBODY"*) [ "$now" = "$before" ] || { before=$now; continue; } ;; esac
        echo "$now" >run/upstreams.conf
        nginx -e stderr -p "$PWD/" -c nginx.conf -s reload && applied=$now version=$now_version
    done
}

NOBODY=127.0.0.255  # nothing listens there
: >>run/leaving
# From 1.27.4 on an idle connection of a client can stay open while Nginx reloads; before, the request that comes on it
# right then is cut off, and the client has to send it again.
nginx -v 2>&1 | awk -F '[/. ]' '{ if ($4 * 1000000 + $5 * 1000 + $6 >= 1027004) print "keepalive_min_timeout 10s;" }' >run/keepalive.conf
upstreams >run/upstreams.conf
refresh &
exec nginx -e stderr -p "$PWD/" -c nginx.conf
