#!/bin/sh
# Gives `make test` the servers that some tests start: MariaDB and RabbitMQ.
#
# Installs them where nobody need be asked: on Debian or Ubuntu, as root, in continuous
# integration (CI=true) or inside a container. Elsewhere the tests start MySQL and RabbitMQ in
# containers of their own if a Docker engine answers; their images are pulled here, where that
# can be watched. Without one prints the one command and goes on; the tests that need servers
# are skipped then. Does nothing where the servers are there or variables name others. Services
# are never started: tests start servers of their own.
set -eu

PACKAGES="mariadb-server rabbitmq-server"
COMMAND="apt-get install --no-install-recommends $PACKAGES"
PATH="$PATH:/usr/sbin:/usr/local/sbin"

# The same as in tests/servers/choice.py.
DATABASE_IMAGE=${TIANYU_TEST_DATABASE_IMAGE:-mysql:8.4}
BROKER_IMAGE=${TIANYU_TEST_BROKER_IMAGE:-rabbitmq:4-management}
KIND=${TIANYU_TEST_SERVERS:-}

has_database() {
    [ -n "${TIANYU_TEST_DATABASE_URL:-}" ] && return
    [ "$KIND" != docker ] && { command -v mariadbd || command -v mysqld; } >/dev/null
}

has_broker() {
    [ -n "${TIANYU_TEST_BROKER_URL:-}" ] && return
    [ "$KIND" != docker ] && command -v rabbitmq-server >/dev/null
}

# An engine of another machine does not serve: the tests reach the loopback of this one.
has_engine() {
    [ "$KIND" != binaries ] && command -v docker >/dev/null && docker version >/dev/null 2>&1 || return
    case ${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)} in
    "" | unix://* | npipe://*) return 0 ;;
    *) return 1 ;;
    esac
}

pull() {
    docker image inspect "$1" >/dev/null 2>&1 || docker pull "$1"
}

is_ci() {
    [ "${CI:-}" = true ] || [ "${CI:-}" = 1 ]
}

in_container() {
    [ -e /.dockerenv ] || [ -e /run/.containerenv ] || [ -n "${container:-}" ] ||
        grep -Eqs 'docker|containerd|kubepods|lxc' /proc/1/cgroup
}

is_debian() {
    command -v apt-get >/dev/null && grep -Eqs '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

# Packages would start their services; this is how Debian lets that be forbidden.
POLICY=/usr/sbin/policy-rc.d
forbid_services() {
    [ -e "$POLICY" ] && return
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
    trap 'rm -f "$POLICY"' EXIT
}

install_quietly() {
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # the names of the packages are separate words
    if { apt-get -q update && apt-get -q -y install --no-install-recommends $PACKAGES; } >"$log" 2>&1
    then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

if has_database && has_broker; then
    exit 0
fi

if [ "$KIND" != docker ] && is_debian && [ "$(id -u)" = 0 ] && { is_ci || in_container; }; then
    echo "installing $PACKAGES for the tests …"
    forbid_services
    if install_quietly; then
        exit 0
    fi
    echo "the servers could not be installed; the tests that need them cannot run" >&2
    # In continuous integration nothing may be left out silently.
    if is_ci; then exit 1; else exit 0; fi
fi

if has_engine; then
    has_database || { echo "the tests start $DATABASE_IMAGE in Docker" && pull "$DATABASE_IMAGE"; } || pulled=no
    has_broker || { echo "the tests start $BROKER_IMAGE in Docker" && pull "$BROKER_IMAGE"; } || pulled=no
    [ "${pulled:-yes}" = no ] || exit 0
    echo "an image could not be pulled"
fi

echo "MariaDB or RabbitMQ is missing; tests that need them are skipped. To enable them:"
if is_debian; then
    echo "    sudo $COMMAND"
else
    echo "    install MariaDB (or MySQL 8) and RabbitMQ, so that mysqld and rabbitmq-server are in PATH"
fi
