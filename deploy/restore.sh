#!/bin/sh
# Puts a backup of deploy/backup.sh back: sh deploy/restore.sh FOLDER/tianyu-TIME
#
# On the machine that made it or a new one, with the deploy/secrets and the version of MySQL (or the
# next) that it was made with. Replaces the database; files of the backup are laid over those that
# are there. Then runs the migrations of this version and starts everything; what had not ended
# goes on. COMPOSE as in backup.sh. Profiles are those of COMPOSE_PROFILES, as in .env.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/restore.sh FOLDER/tianyu-TIME" >&2; exit 2; }
compose=${COMPOSE:-docker compose}
backup=$1

(cd "$backup" && sha256sum --check --quiet SHA256SUMS)
$compose --profile bigmem stop consumer-cpu consumer-bigmem manager mysql
$compose run --rm --no-deps -T --entrypoint sh snapshot -c \
    'find /var/lib/mysql -mindepth 1 -delete && exec tar --extract --gzip --file - --directory /var/lib/mysql' \
    <"$backup/database.tar.gz"
$compose run --rm --no-deps -T --entrypoint tar tianyu \
    --extract --file - --directory /data <"$backup/files.tar"
$compose up -d
echo "restored from $backup"
