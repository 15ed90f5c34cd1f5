# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the other scripts: root of the clone, choice of Python, and settings of uv.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
uv=$root/.tools/uv/bin/uv

say() { printf 'parley: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

owner_of() { stat -c %U -- "$1" 2>/dev/null || stat -f %Su -- "$1"; }

require_writable() {
    local path
    for path in "$@"; do
        [[ ! -e $path || -w $path ]] || fail "$(id -un) cannot write to $path, which belongs to $(owner_of "$path")." \
            "Run as $(owner_of "$path"), or change the owner: chown -R $(id -un) $path"
    done
}

hold_lock() {
    mkdir -p .tools
    command -v flock >/dev/null || return 0
    exec 9>.tools/lock
    flock --nonblock 9 || { say "waiting for another setup in this clone"; flock --timeout 900 9; } ||
        fail "another setup has held .tools/lock for 15 minutes. Stop it, then try again."
}

is_supported_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' 2>/dev/null
}

# Prints the path of the interpreter, which the interpreter reports itself: a name on PATH may be a shim.
choose_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        is_supported_python "$PYTHON" || fail "PYTHON=$PYTHON is not CPython 3.11 or later, or does not run."
        "$PYTHON" -c 'import sys; print(sys.executable)'
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_supported_python "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "CPython 3.11 or later was not found on PATH. Install it (Debian: apt-get install python3)," \
        "or set PYTHON to its path."
}

has_writable_home() {
    [[ -n ${HOME:-} && -d $HOME && -w $HOME ]] || return 1
    [[ ! -e ${XDG_CACHE_HOME:-$HOME/.cache} || -w ${XDG_CACHE_HOME:-$HOME/.cache} ]] || return 1
    [[ ! -e ${XDG_CACHE_HOME:-$HOME/.cache}/uv || -w ${XDG_CACHE_HOME:-$HOME/.cache}/uv ]]
}

# Requires $python. uv does not read the configuration of pip, so this passes its index and certificates on.
# Settings of uv itself win.
configure_uv() {
    local key value
    export UV_PYTHON_DOWNLOADS=never UV_PYTHON_PREFERENCE=only-system
    has_writable_home || export UV_CACHE_DIR=${UV_CACHE_DIR:-$root/.tools/uv-cache}
    [[ ! -r /etc/ssl/certs/ca-certificates.crt ]] || export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
    while IFS=$'\t' read -r key value; do
        case $key in
            index-url) export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$value} ;;
            cert) export SSL_CERT_FILE=${SSL_CERT_FILE:-$value} ;;
        esac
    done < <("$python" "$root/scripts/pip_settings.py")
}

# Installs the packages of requirements/NAME.txt into an environment of their own, .tools/NAME, unless they are there.
# Requires $python and the settings of uv.
install_tools() {
    local name=$1 tools=$root/.tools/$1 wanted
    wanted=$(printf '%s\n' "$root" "$("$python" -V)" && sha256sum <"requirements/$name.txt")
    [[ ! -r $tools/.parley-stamp || $wanted != "$(<"$tools/.parley-stamp")" ]] || return 0
    hold_lock
    say "installing .tools/$name"
    "$uv" venv --quiet --clear --python "$python" "$tools"
    "$uv" pip sync --quiet --python "$tools/bin/python" --require-hashes "requirements/$name.txt" ||
        fail "cannot install .tools/$name (see above). Check the network. For a mirror, set UV_DEFAULT_INDEX."
    printf '%s\n' "$wanted" >"$tools/.parley-stamp"
}
