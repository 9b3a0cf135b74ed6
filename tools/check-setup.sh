#!/bin/sh
# Is everything here that `make venv` needs and pip cannot bring?
#
# One of libp2p's own dependencies (fastecdsa) has no wheel: pip compiles it, which takes a C
# compiler, Python's headers and GMP's. Found out halfway through an installation that is a page of
# compiler output; found out here it is one line to type.
#
# Nothing is looked up by path: what pip will do later is tried now, with the same compiler and
# flags. On success the Python to use is printed; otherwise the exit status is 1.
# $PYTHON names a certain Python, $CC a certain compiler.
set -u

missing=""   # for people
packages=""  # for apt-get

# lacks WHAT PACKAGE
lacks() {
    case " $packages " in
        *" $2 "*) return ;;
    esac
    missing="${missing:+$missing, }$1"
    packages="${packages:+$packages }$2"
}

# --- Python 3.11 or newer ---------------------------------------------------------------------

python=""
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done

# Debian names a package after the interpreter: python3-dev, python3.12-dev.
package=python3
case $python in
    python3.*) package=$python ;;
esac

if [ -z "$python" ]; then
    lacks "Python 3.11 or newer" python3
    lacks "Python.h (not tried)" python3-dev
    lacks "Python's venv module (not tried)" python3-venv
elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    # Debian's python3 without python3-venv has a venv module, but no pip to put into it.
    lacks "Python's venv module" "$package-venv"
fi

# --- a C compiler, and the headers ------------------------------------------------------------

include=""
compiler=${CC:-}
if [ -n "$python" ]; then
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    # What setuptools will call; it may come with flags, as in "gcc -pthread".
    compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
fi
compiler=${compiler:-cc}

work=$(mktemp -d "${TMPDIR:-/tmp}/gossipd-check.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# builds LINES [FLAGS...]: does a program of these lines compile and link?
builds() {
    printf '%s\n' "$1" >"$work/try.c"
    shift
    # $compiler and the flags are lists of words, so they stay unquoted.
    # shellcheck disable=SC2086
    $compiler ${CPPFLAGS:-} ${CFLAGS:-} ${include:+-I"$include"} -o "$work/try" "$work/try.c" \
        ${LDFLAGS:-} "$@" >/dev/null 2>&1
}

if builds 'int main(void) { return 0; }'; then
    builds '#include <gmp.h>
int main(void) { mpz_t x; mpz_init(x); mpz_clear(x); return 0; }' -lgmp || lacks "gmp.h" libgmp-dev
    [ -z "$python" ] || builds '#include <Python.h>
int main(void) { return 0; }' || lacks "Python.h" "$package-dev"
else
    # Without a compiler the headers cannot be tried: name all, so that one line is enough.
    lacks "a C compiler" build-essential
    lacks "gmp.h (not tried)" libgmp-dev
    lacks "Python.h (not tried)" "$package-dev"
fi

# --- the verdict ------------------------------------------------------------------------------

if [ -z "$missing" ]; then
    echo "$python"
    exit 0
fi

{
    echo "gossipd cannot be set up here yet. Missing: $missing."
    if command -v apt-get >/dev/null 2>&1; then
        echo "Type:  sudo apt-get install $packages"
    else
        echo "Install them with this system's package manager (on Debian and Ubuntu: sudo apt-get install $packages)"
    fi
    echo "and then the same make command again."
} >&2
exit 1
