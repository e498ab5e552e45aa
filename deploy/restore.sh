#!/bin/sh
# Puts a backup of deploy/backup.sh back: sh deploy/restore.sh FOLDER/tianyu-TIME
#
# Replaces the database. Files of the backup are laid over those that are there. Then runs the
# migrations of this version and starts everything; what had not ended goes on.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/restore.sh FOLDER/tianyu-TIME" >&2; exit 2; }
compose=${COMPOSE:-docker compose}
backup=$1

(cd "$backup" && sha256sum --check --quiet SHA256SUMS)
$compose stop consumer-cpu manager
# Waits for the servers, and makes what they lack.
$compose run --rm migrate </dev/null

$compose run --rm --no-deps -T --entrypoint tar tianyu \
    --extract --file - --directory /data <"$backup/files.tar"
mysql() {
    $compose exec -T mysql sh -c \
        'MYSQL_PWD=$(cat /run/secrets/mysql_root_password) exec mysql --user=root "$@"' mysql "$@"
}
mysql --execute 'DROP DATABASE tianyu; CREATE DATABASE tianyu CHARACTER SET utf8mb4' </dev/null
gzip --decompress --stdout "$backup/database.sql.gz" | mysql tianyu
$compose up -d
echo "restored from $backup"
