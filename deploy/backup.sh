#!/bin/sh
# Backs up what compose runs, while it runs: sh deploy/backup.sh FOLDER
#
# Makes FOLDER/tianyu-TIME/ with database.sql.gz, files.tar and SHA256SUMS; a folder under that name
# is whole. Queues are not kept: the database knows what is to be done, and a manager sends it
# again. COMPOSE="docker-compose" for the older command; further options, such as --file, likewise.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/backup.sh FOLDER" >&2; exit 2; }
compose=${COMPOSE:-docker compose}
umask 077

target=$1/tianyu-$(date -u +%Y%m%dT%H%M%SZ)
unfinished=$target.unfinished
mkdir -p "$unfinished"
trap 'rm -rf "$unfinished"' EXIT

# The database first: files are there before the rows that name them, so every file that a row of
# the dump names is in the archive that is made later. (Hold `tianyu purge` back meanwhile.)
# A pipe would hide that the dump failed.
$compose exec -T mysql sh -c \
    'MYSQL_PWD=$(cat /run/secrets/mysql_root_password) exec mysqldump --user=root \
        --single-transaction --quick --hex-blob --no-tablespaces tianyu' \
    </dev/null >"$unfinished/database.sql"
tail -n 1 "$unfinished/database.sql" | grep -q '^-- Dump completed' ||
    { echo "the dump of the database is not whole" >&2; exit 1; }
gzip "$unfinished/database.sql"

# A file that is written at this moment is named by no row yet.
$compose run --rm --no-deps -T --entrypoint tar tianyu \
    --create --file - --directory /data --warning=no-file-changed --ignore-failed-read . \
    </dev/null >"$unfinished/files.tar" || [ $? = 1 ]
[ -s "$unfinished/files.tar" ] && tar --list --file "$unfinished/files.tar" >/dev/null ||
    { echo "the archive of the files is not whole" >&2; exit 1; }

(cd "$unfinished" && sha256sum database.sql.gz files.tar >SHA256SUMS)
mv "$unfinished" "$target"
trap - EXIT
echo "$target"
