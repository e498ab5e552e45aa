#!/bin/sh
# What the public image's entry point does, as far as Tianyu needs it: at the first start make
# the data folder, root's password, one database and one account; then run the server.
#
# MYSQL_ROOT_PASSWORD, MYSQL_ROOT_HOST, MYSQL_DATABASE, MYSQL_USER and MYSQL_PASSWORD, each also
# as …_FILE, the file that holds it.
set -eu

case ${1:-} in
"" | -*) set -- mysqld "$@" ;;
esac
if [ "$1" != mysqld ]; then
    exec "$@"
fi
shift

data=/var/lib/mysql
as_mysql() { setpriv --reuid=mysql --regid=mysql --init-groups "$@"; }

# value NAME: of a variable, or the content of the file that NAME_FILE names.
value() {
    eval "file=\${$1_FILE:-} plain=\${$1:-}"
    # shellcheck disable=SC2154 # set by eval
    if [ -n "$file" ]; then cat "$file"; else printf '%s' "$plain"; fi
}

# quoted TEXT: a string of SQL.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"; }

first_statements() {
    root=$(quoted "$(value MYSQL_ROOT_PASSWORD)")
    host=$(quoted "${MYSQL_ROOT_HOST:-%}")
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $root;"
    echo "CREATE USER IF NOT EXISTS 'root'@$host IDENTIFIED BY $root;"
    echo "GRANT ALL ON *.* TO 'root'@$host WITH GRANT OPTION;"
    database=$(value MYSQL_DATABASE)
    user=$(value MYSQL_USER)
    if [ -n "$database" ]; then
        echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
    fi
    if [ -n "$user" ]; then
        echo "CREATE USER IF NOT EXISTS $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$(value MYSQL_PASSWORD)");"
    fi
    if [ -n "$user" ] && [ -n "$database" ]; then
        echo "GRANT ALL ON \`$database\`.* TO $(quoted "$user")@'%';"
    fi
}

install -d -o mysql -g mysql "$data" /var/run/mysqld
if [ ! -d "$data/mysql" ]; then
    if [ -z "$(value MYSQL_ROOT_PASSWORD)" ]; then
        echo "MYSQL_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD_FILE must be given" >&2
        exit 1
    fi
    # Made beside and moved: one that was killed half-way is begun anew.
    new=$data/.new
    statements=$(mktemp)
    first_statements >"$statements"
    chown mysql "$statements"
    rm -rf "$new"
    as_mysql mysqld --no-defaults --initialize-insecure --secure-file-priv=NULL --init-file="$statements" --datadir="$new"
    rm -f "$statements"
    mv "$new"/* "$data/"
    rmdir "$new"
fi
exec setpriv --reuid=mysql --regid=mysql --init-groups \
    mysqld --no-defaults --datadir="$data" --socket=/var/run/mysqld/mysqld.sock \
    --secure-file-priv=NULL --host-cache-size=0 --skip-name-resolve "$@"
