#!/bin/sh
# Makes certificates for TLS between sites, by an authority of our own:
#
#     sh deploy/make-certificates.sh servers ADDRESS…        # of MySQL and RabbitMQ
#     sh deploy/make-certificates.sh files SITE ADDRESS…     # of the file service of a site
#
# ADDRESS: each host name and IP address by which other machines reach it. Needs openssl. They lie
# in the folder TIANYU_SECRETS (deploy/secrets):
#
#     authority/ca.key, ca.pem                made at the first call, for ten years
#     ca.pem, servers.pem, servers.key        for DAYS (825), also as localhost, mysql, rabbitmq
#     nodes/SITE/ca.pem, files.pem, files.key
#
# What is there stays. For a new certificate (before its end, or for another address) move the old
# one away, run this again, and restart the services that use it.
set -eu
umask 077

fail() {
    echo "$*" >&2
    exit 1
}

usage() {
    echo "usage: sh deploy/make-certificates.sh servers ADDRESS…" >&2
    echo "       sh deploy/make-certificates.sh files SITE ADDRESS…" >&2
    exit 2
}

# address_kind ADDRESS: IP or DNS.
address_kind() {
    case $1 in
    '' | -* | *[!A-Za-z0-9.:-]*) fail "'$1' is no host name and no IP address" ;;
    *:*) echo IP ;;
    *[!0-9.]*) echo DNS ;;
    *.*.*.*) echo IP ;;
    *) fail "'$1' is no host name and no IP address" ;;
    esac
}

# is_for CERTIFICATE ADDRESS: whether the certificate vouches for the address.
is_for() {
    if [ "$(address_kind "$2")" = IP ]; then check=-checkip; else check=-checkhost; fi
    # It ends with 0 either way.
    openssl x509 -in "$1" -noout $check "$2" | grep -q ' does match '
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

make_authority() {
    [ ! -s "$authority/ca.pem" ] || return 0
    mkdir -p "$authority"
    cat >"$scratch/authority.conf" <<'END'
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
O = Tianyu
CN = Tianyu authority
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    new_key "$scratch/ca.key"
    openssl req -new -x509 -sha256 -days 3650 -config "$scratch/authority.conf" \
        -key "$scratch/ca.key" -out "$scratch/ca.pem"
    mv "$scratch/ca.key" "$authority/ca.key"
    mv "$scratch/ca.pem" "$authority/ca.pem"
}

# make_certificate PATH ADDRESS…: PATH.pem and PATH.key, unless they are there for these addresses.
make_certificate() {
    path=$1
    shift
    if [ -s "$path.pem" ]; then
        for address in "$@"; do
            is_for "$path.pem" "$address" ||
                fail "$path.pem is there and not for $address; move it away and run this again"
        done
        openssl x509 -in "$path.pem" -noout -checkend 0 >/dev/null ||
            fail "$path.pem has ended; move it away and run this again"
        echo "$path.pem is there"
        return
    fi
    [ -s "$authority/ca.key" ] ||
        fail "there is no $authority/ca.key, by which ca.pem vouches; bring it back for this"
    names=
    for address in "$@"; do
        kind=$(address_kind "$address")
        names="$names${names:+,}$kind:$address"
    done
    cat >"$scratch/request.conf" <<END
[req]
distinguished_name = name
prompt = no
[name]
O = Tianyu
CN = Tianyu $(basename "$path")
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names
END
    new_key "$scratch/key"
    openssl req -new -sha256 -config "$scratch/request.conf" -key "$scratch/key" \
        -out "$scratch/request"
    openssl x509 -req -sha256 -in "$scratch/request" -days "${DAYS:-825}" \
        -CA "$authority/ca.pem" -CAkey "$authority/ca.key" \
        -set_serial "0x$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" \
        -extfile "$scratch/request.conf" -extensions extensions -out "$scratch/pem" \
        2>"$scratch/log" || fail "openssl: $(cat "$scratch/log")"
    cp "$authority/ca.pem" "$scratch/ca.pem"
    # Read by the accounts of containers; the folder above is what keeps others out.
    chmod 444 "$scratch/key" "$scratch/pem" "$scratch/ca.pem"
    mv -f "$scratch/ca.pem" "$(dirname "$path")/ca.pem"
    mv -f "$scratch/key" "$path.key"
    mv "$scratch/pem" "$path.pem"
    echo "$path.pem for $names"
}

[ $# -ge 2 ] || usage
command -v openssl >/dev/null || fail "this needs openssl"
folder=${TIANYU_SECRETS:-$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/secrets}
authority=$folder/authority
mkdir -p "$folder"
chmod 700 "$folder"
# Beside what becomes of it: to move it is one step.
scratch=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

what=$1
shift
case $what in
servers)
    for address in "$@"; do address_kind "$address" >/dev/null; done
    make_authority
    make_certificate "$folder/servers" "$@" mysql rabbitmq localhost 127.0.0.1
    ;;
files)
    [ $# -ge 2 ] || usage
    site=$1
    shift
    case $site in
    '' | .* | *[!A-Za-z0-9._-]*) fail "'$site' can not be the name of a site's folder" ;;
    esac
    for address in "$@"; do address_kind "$address" >/dev/null; done
    make_authority
    mkdir -p "$folder/nodes/$site"
    make_certificate "$folder/nodes/$site/files" "$@"
    ;;
*) usage ;;
esac
