#!/bin/sh
# Makes the folder of secrets of another site, to be copied there whole:
#
#     sh deploy/make-node-secrets.sh SITE SERVERS [FILES…]
#
# SERVERS: the address by which that site reaches MySQL and RabbitMQ, one of those given to
# deploy/make-certificates.sh. FILES: the addresses by which other sites reach its file service.
# Writes TIANYU_SECRETS/nodes/SITE (deploy/secrets/nodes/SITE) with what
# deploy/site-node.compose.yml mounts: URLs with the accounts of a consumer and of a publisher, the
# token of the file services, certificates. Where the servers have ports other than 3306 and 5671:
# MYSQL_TLS_PORT and RABBITMQ_TLS_PORT, as in .env. Doing it again is harmless.
set -eu
umask 077

fail() {
    echo "$*" >&2
    exit 1
}

[ $# -ge 2 ] || { echo "usage: sh deploy/make-node-secrets.sh SITE SERVERS [FILES…]" >&2; exit 2; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${TIANYU_SECRETS:-$here/secrets}
site=$1 servers=$2
shift 2

case $site in
'' | .* | *[!A-Za-z0-9._-]*) fail "'$site' can not be the name of a site's folder" ;;
esac
for name in mysql_consumer_password mysql_publisher_password rabbitmq_password file_token; do
    [ -s "$folder/$name" ] || fail "there is no $folder/$name; run deploy/make-secrets.sh first"
done
[ -s "$folder/servers.pem" ] ||
    fail "there is no $folder/servers.pem; run deploy/make-certificates.sh servers $servers first"
# Says so where the certificate of the servers is not for the address that is to be used.
TIANYU_SECRETS=$folder sh "$here/make-certificates.sh" servers "$servers" >/dev/null

node=$folder/nodes/$site
mkdir -p "$node"
if [ $# -gt 0 ]; then
    TIANYU_SECRETS=$folder sh "$here/make-certificates.sh" files "$site" "$@"
fi

# In a URL an IPv6 address stands in brackets.
case $servers in *:*) servers="[$servers]" ;; esac
# write FILE: what comes in; the file may be there and closed to writing.
write() {
    cat >"$node/$1.new"
    # Read by the accounts of containers; the folder above is what keeps others out.
    chmod 444 "$node/$1.new"
    mv -f "$node/$1.new" "$node/$1"
}
# database_url ROLE
database_url() {
    printf 'mysql+pymysql://tianyu_%s:%s@%s:%s/tianyu' \
        "$1" "$(cat "$folder/mysql_$1_password")" "$servers" "${MYSQL_TLS_PORT:-3306}"
}
database_url consumer | write database_url
database_url publisher | write publisher_database_url
printf 'amqps://tianyu:%s@%s:%s/tianyu' \
    "$(cat "$folder/rabbitmq_password")" "$servers" "${RABBITMQ_TLS_PORT:-5671}" | write broker_url
write file_token <"$folder/file_token"
write ca.pem <"$folder/ca.pem"
echo "secrets of $site in $node; copy the folder there, its modes too: scp -rp"
