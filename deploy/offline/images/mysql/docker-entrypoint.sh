#!/bin/sh
# As the official image: an empty data folder is made first, with root@% and MYSQL_ROOT_PASSWORD; then the server runs.
set -eu
[ "${1#-}" = "$1" ] || set -- mysqld "$@"
if [ "$(id -u)" = 0 ]; then
    chown mysql:mysql /var/lib/mysql
    exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
if [ "$1" = mysqld ] && [ ! -e /var/lib/mysql/.made ]; then
    : "${MYSQL_ROOT_PASSWORD:?the first start needs a password for root}"
    mariadb-install-db --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null
    quoted=$(printf %s "$MYSQL_ROOT_PASSWORD" | sed "s/[\\\\']/\\\\&/g")
    mariadbd --datadir=/var/lib/mysql --bootstrap <<SQL
FLUSH PRIVILEGES;
CREATE USER 'root'@'%' IDENTIFIED BY '$quoted';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
DELETE FROM mysql.global_priv WHERE user IN ('root', '') AND host <> '%';
SQL
    : >/var/lib/mysql/.made
fi
exec "$@"
