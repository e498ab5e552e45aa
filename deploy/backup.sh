#!/bin/sh
# Backs up what compose runs, while it runs: sh deploy/backup.sh FOLDER
#
# Makes FOLDER/tianyu-TIME/ with database.tar.gz, files.tar and SHA256SUMS; a folder under that
# name is whole. It holds MySQL's accounts too: keep it, and deploy/secrets, closed to others.
# Queues are not kept: the database knows what is to be done, and a manager sends it again.
# COMPOSE="docker-compose" for the older command; further options, such as --file, likewise.
set -eu
[ $# = 1 ] || { echo "usage: sh deploy/backup.sh FOLDER" >&2; exit 2; }
compose=${COMPOSE:-docker compose}
umask 077

target=$1/tianyu-$(date -u +%Y%m%dT%H%M%SZ)
unfinished=$target.unfinished
mkdir -p "$unfinished"
trap 'rm -rf "$unfinished"' EXIT

# The database first: files are there before the rows that name them, so every file that a row of
# the copy names is in the archive that is made later. (Hold `tianyu purge` back meanwhile.)
#
# A copy of pages by MySQL's clone plugin, while it serves. A dump as text would not do: MySQL
# writes a FLOAT with six digits, and light curves would come back rounded.
$compose exec -T mysql sh -eu -s <<'END'
export MYSQL_PWD="$(cat /run/secrets/mysql_root_password)"
known="SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name = 'clone'"
[ "$(mysql --user=root --skip-column-names --execute "$known")" = 1 ] ||
    mysql --user=root --execute "INSTALL PLUGIN clone SONAME 'mysql_clone.so'"
rm -rf /snapshot/clone
chown mysql /snapshot
mysql --user=root --execute "CLONE LOCAL DATA DIRECTORY = '/snapshot/clone'"
END
$compose run --rm --no-deps -T snapshot \
    --create --gzip --file - --directory /snapshot/clone . </dev/null >"$unfinished/database.tar.gz"
$compose exec -T mysql rm -rf /snapshot/clone </dev/null

# A file that is written or removed at this moment, for which tar ends with 1, is named by no row.
$compose run --rm --no-deps -T --entrypoint tar tianyu \
    --create --file - --directory /data --warning=no-file-changed . \
    </dev/null >"$unfinished/files.tar" || [ $? = 1 ]
for archive in database.tar.gz files.tar; do
    [ -s "$unfinished/$archive" ] && tar --list --file "$unfinished/$archive" >/dev/null ||
        { echo "$archive is not whole" >&2; exit 1; }
done

(cd "$unfinished" && sha256sum database.tar.gz files.tar >SHA256SUMS)
mv "$unfinished" "$target"
trap - EXIT
echo "$target"
