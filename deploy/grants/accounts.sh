#!/bin/sh
# Makes the accounts of publisher, manager, consumer and reader on the MySQL server MYSQL_HOST, with
# passwords from files: SECRETS/mysql_ROLE_password and SECRETS/mysql_root_password.
#
# Run after `tianyu init` and after each upgrade: rights name tables. Passwords that were given stay.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
secrets=${SECRETS:-/run/secrets}
MYSQL_PWD=$(cat "$secrets/mysql_root_password")
export MYSQL_PWD
for role in publisher manager consumer reader; do
    # Into the program's standard input: no password on a command line.
    sed "s/CHANGE-ME/$(cat "$secrets/mysql_${role}_password")/" "$here/$role.sql" |
        mysql --host="$MYSQL_HOST" --user=root
done
echo "accounts of publisher, manager, consumer and reader are as in $here"
