#!/bin/sh
# Make .venv and install a lock file into it: bootstrap.sh LOCK. The Makefile calls it when the lock is newer than its stamp.
set -eu
cd "$(dirname "$0")/../.."
lock=$1
python=${PYTHON:-python3}

usable() {
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ ! -x .venv/bin/python ]; then
    if ! usable && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv ..."
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    fi
    if ! usable; then
        echo "sagashop: $python is missing, older than 3.11, or lacks venv." >&2
        echo "  Type \`sudo apt-get install -y python3-venv\`, or name another Python: \`make up PYTHON=python3.12\`." >&2
        exit 1
    fi
    echo "Making .venv ..."
    "$python" -m venv .venv
fi

echo "Installing $lock ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"

# The project itself, straight from this folder: a path and the command. No build step, so the lock is all that is needed.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pwd > "$site/sagashop.pth"
cat > .venv/bin/sagashop <<EOF
#!/bin/sh
exec "$PWD/.venv/bin/python" -c 'import sys; sys.argv[0] = "sagashop"; from sagashop.cli import main; main()' "\$@"
EOF
chmod +x .venv/bin/sagashop
