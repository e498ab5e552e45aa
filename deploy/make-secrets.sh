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

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
for name in mysql_root_password mysql_password rabbitmq_password; do
    [ -s "$name" ] || password >"$name"
done
printf 'mysql+pymysql://tianyu:%s@mysql/tianyu' "$(cat mysql_password)" >database_url
printf 'amqp://tianyu:%s@rabbitmq/tianyu' "$(cat rabbitmq_password)" >broker_url
cat >rabbitmq.conf <<END
default_vhost = tianyu
default_user = tianyu
default_pass = $(cat rabbitmq_password)
default_user_tags.administrator = false
default_user_tags.management = true
END
chmod 444 ./*
chmod 400 rabbitmq_password
echo "secrets in $folder"
