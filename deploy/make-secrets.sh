#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: sh deploy/make-secrets.sh [FOLDER]
#
# Passwords that are there already stay: the servers took them at their first start.
set -eu
umask 077
folder=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/secrets}
mkdir -p "$folder"
# The files are read by the accounts of containers, so the folder is what keeps others out.
chmod 700 "$folder"
cd "$folder"

# write FILE: what comes in; the file may be there and closed to writing.
write() {
    cat >"$1.new"
    mv -f "$1.new" "$1"
}
for name in mysql_root mysql mysql_publisher mysql_manager mysql_consumer mysql_reader rabbitmq grafana; do
    [ -s "${name}_password" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | write "${name}_password"
done
# What sites show each other before files are sent: every site needs this very one.
[ -s file_token ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | write file_token
printf 'mysql+pymysql://tianyu:%s@mysql/tianyu' "$(cat mysql_password)" | write database_url
# Accounts with no more rights than each kind of program needs; see grants/.
for role in publisher manager consumer reader; do
    printf 'mysql+pymysql://tianyu_%s:%s@mysql/tianyu' "$role" "$(cat "mysql_${role}_password")" |
        write "${role}_database_url"
done
printf 'amqp://tianyu:%s@rabbitmq/tianyu' "$(cat rabbitmq_password)" | write broker_url
# Where deploy/open-servers.compose.yml has TLS alone.
printf 'amqps://tianyu:%s@rabbitmq:5671/tianyu' "$(cat rabbitmq_password)" | write broker_tls_url
# What its account may do is as in grants/rabbitmq.sh.
write rabbitmq.conf <<END
default_vhost = tianyu
default_user = tianyu
default_pass = $(cat rabbitmq_password)
default_user_tags.administrator = false
default_user_tags.management = true
default_permissions.configure = ^(dead:)?tianyu\\..*
default_permissions.write = ^((dead:)?tianyu\\..*|amq\\.default)\$
default_permissions.read = ^(dead:)?tianyu\\..*
END
# Not folders: what deploy/make-certificates.sh makes in them stays as it is.
find . -maxdepth 1 -type f -exec chmod 444 {} +
chmod 400 rabbitmq_password
echo "secrets in $folder"
