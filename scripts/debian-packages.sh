# Functions to install Debian packages, for scripts to source: ./quickstart and scripts/install-test-deps.

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# Whether as_root can work.
may_become_root() {
    [[ $EUID -eq 0 ]] || sudo -n true 2> /dev/null
}

# install_packages NAME…: never starts a server. Each test and the quickstart run servers of their own, on ports of their
# own. Call it in a subshell: it sets a trap.
install_packages() {
    local packages=("$@") policy=/usr/sbin/policy-rc.d
    export DEBIAN_FRONTEND=noninteractive
    if [[ ! -e $policy ]]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null
        as_root chmod +x "$policy"
    fi
    as_root apt-get update -q
    if [[ " ${packages[*]} " == *' postgresql'* ]]; then
        as_root apt-get install -qy --no-install-recommends postgresql-common
        as_root sed -ri 's/^#?(create_main_cluster) .*/\1 = false/' /etc/postgresql-common/createcluster.conf
    fi
    as_root apt-get install -qy --no-install-recommends "${packages[@]}"
}

# What it takes to build Doorward: a C compiler, and libclang for the bindings of PostgreSQL's parser.
missing_build_packages() {
    command -v cc > /dev/null && command -v make > /dev/null || echo build-essential
    command -v cmake > /dev/null || echo cmake
    command -v pkg-config > /dev/null || echo pkg-config
    # The library, and the compiler's own headers, which are in another package.
    if [[ -z ${LIBCLANG_PATH:-} ]] && ! { compgen -G '/usr/lib/llvm-*/lib/libclang[-.][0-9s]*' &&
        compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h'; } > /dev/null; then
        echo libclang-dev
    fi
}
