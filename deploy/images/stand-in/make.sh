#!/bin/sh
# Makes images under the tags of public base images, from the packages of Debian and Ubuntu: for
# machines that reach a mirror of packages but no registry of images.
#
#     sh deploy/images/stand-in/make.sh                # all that Tianyu needs
#     sh deploy/images/stand-in/make.sh mysql:9        # one of them; see `make_image`
#
# Needs root, mmdebstrap and a Docker engine (DOCKER_HOST names another than the usual one). An
# image that is there already is left alone: remove it first to have it made anew.
# shellcheck disable=SC2016 # $1 of a hook is expanded by the hook
set -eu

DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
UBUNTU_KEYS=/usr/share/keyrings/ubuntu-archive-keyring.gpg
# Where Debian keeps the authorities that a machine trusts besides the public ones.
AUTHORITIES=/usr/local/share/ca-certificates

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# apt reads the keys under an account of its own.
chmod 755 "$scratch"

# root_of SUITE PACKAGES [OPTION…]: the root folder of an image, as a tar file on stdout.
root_of() {
    suite=$1
    packages=$2
    shift 2
    case $suite in
    bookworm | trixie | sid)
        sources="deb $DEBIAN_MIRROR $suite main"
        set -- --keyring=/usr/share/keyrings "$@"
        ;;
    *)
        sources="deb $UBUNTU_MIRROR $suite main universe
deb $UBUNTU_MIRROR $suite-updates main universe"
        set -- --keyring="$(ubuntu_keys)" "$@"
        ;;
    esac
    # Behind a proxy that signs for others pip and apt work only if the image trusts it too.
    if ls "$AUTHORITIES"/*.crt >/dev/null 2>&1; then
        set -- "$@" \
            --customize-hook="cp $AUTHORITIES/*.crt \"\$1$AUTHORITIES/\"" \
            --customize-hook='chroot "$1" update-ca-certificates >/dev/null'
    fi
    # A mirror that is a frozen copy is past its date; what it holds is signed all the same. New
    # releases name a solver of dependencies that this machine's apt may not have.
    echo "$sources" | mmdebstrap --quiet --variant=apt --include="ca-certificates,$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='binary::apt-get::APT::Solver "internal"' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$@" "$suite" - -
}

# Ubuntu's keys: those of this machine, else out of Debian's package of them.
ubuntu_keys() {
    if [ -e "$UBUNTU_KEYS" ]; then
        echo "$UBUNTU_KEYS"
        return
    fi
    if [ ! -e "$scratch/keys" ]; then
        mmdebstrap --quiet --variant=extract --include=ubuntu-archive-keyring \
            --aptopt='Acquire::Check-Valid-Until "false"' trixie "$scratch/keys" "$DEBIAN_MIRROR" >&2
    fi
    echo "$scratch/keys$UBUNTU_KEYS"
}

# import TAG FILE [OPTION…]: make an image of a tar file.
import() {
    tag=$1
    file=$2
    shift 2
    docker import "$@" "$file" "$tag" >/dev/null
    rm -f "$file"
}

make_python() {
    # The public image's pip asks for no virtual environment, and its command is `python`.
    root_of "$2" "$3,$3-venv,python3-pip" \
        --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
        --customize-hook="ln -s /usr/bin/$3 \"\$1/usr/local/bin/python\"" \
        --customize-hook="ln -sf /usr/bin/$3 \"\$1/usr/local/bin/python3\"" >"$scratch/root.tar"
    import "$1" "$scratch/root.tar" \
        --change 'ENV LANG C.UTF-8' \
        --change 'CMD ["python3"]'
}

make_mysql() {
    root_of "$2" "passwd,$3" \
        --customize-hook='chroot "$1" useradd --system --uid 999 --home-dir /var/lib/mysql mysql' \
        --customize-hook='chroot "$1" install -d -o mysql -g mysql /var/lib/mysql /var/run/mysqld' \
        --customize-hook="install -m 755 '$here/mysql-entrypoint.sh' \"\$1/usr/local/bin/docker-entrypoint.sh\"" \
        >"$scratch/root.tar"
    import "$1" "$scratch/root.tar" \
        --change 'VOLUME /var/lib/mysql' \
        --change 'EXPOSE 3306' \
        --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
        --change 'CMD ["mysqld"]'
}

make_rabbitmq() {
    # Debian's commands in /usr/sbin insist on its own way to change the account.
    root_of "$2" rabbitmq-server \
        --customize-hook="install -m 755 '$here/rabbitmq-entrypoint.sh' \"\$1/usr/local/bin/docker-entrypoint.sh\"" \
        --customize-hook='echo "[rabbitmq_management]." >"$1/etc/rabbitmq/enabled_plugins"' \
        --customize-hook='mkdir -p "$1/etc/rabbitmq/conf.d"' \
        --customize-hook='echo "loopback_users.guest = false" >"$1/etc/rabbitmq/conf.d/10-defaults.conf"' \
        >"$scratch/root.tar"
    import "$1" "$scratch/root.tar" \
        --change 'ENV PATH /usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV HOME /var/lib/rabbitmq' \
        --change 'ENV LANG C.UTF-8' \
        --change 'ENV RABBITMQ_LOGS -' \
        --change 'VOLUME /var/lib/rabbitmq' \
        --change 'EXPOSE 4369 5671 5672 15672 25672' \
        --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
        --change 'CMD ["rabbitmq-server"]'
}

make_prometheus() {
    root_of "$2" prometheus \
        --customize-hook='chroot "$1" install -d -o nobody -g nogroup /prometheus' >"$scratch/root.tar"
    import "$1" "$scratch/root.tar" \
        --change 'USER nobody' \
        --change 'WORKDIR /prometheus' \
        --change 'VOLUME /prometheus' \
        --change 'EXPOSE 9090' \
        --change 'ENTRYPOINT ["/bin/prometheus"]' \
        --change 'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
}

# The first suite of a distribution that has the version of the tag.
make_image() {
    case $1 in
    python:3.12-slim) make_python "$1" noble python3.12 ;;
    mysql:8.0) make_mysql "$1" noble mysql-server-core-8.0,mysql-client-core-8.0 ;;
    mysql:8.4) make_mysql "$1" questing mysql-server-core,mysql-client-core ;;
    mysql:9) make_mysql "$1" sid mysql-server-core,mysql-client-core ;;
    rabbitmq:4-management) make_rabbitmq "$1" trixie ;;
    prom/prometheus:v3.5.3) make_prometheus "$1" sid ;;
    *)
        echo "$1 is not known; choose of python:3.12-slim mysql:8.0 mysql:8.4 mysql:9" \
            "rabbitmq:4-management prom/prometheus:v3.5.3" >&2
        exit 2
        ;;
    esac
}

[ $# -gt 0 ] || set -- python:3.12-slim mysql:8.4 rabbitmq:4-management
for image in "$@"; do
    if docker image inspect "$image" >/dev/null 2>&1; then
        echo "$image is there"
    else
        echo "making $image …"
        make_image "$image"
    fi
done
