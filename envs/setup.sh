#!/bin/sh
# Makes .venv and installs the pinned packages into it; `make setup` calls it with PYTHON, TORCH_INDEX and
# TORCH_CPU_INDEX set. torch comes from TORCH_INDEX; where that is empty, on Linux without an NVIDIA GPU from
# TORCH_CPU_INDEX, if one is named and answers; otherwise from where pip finds all else.
# VENV and EXTRAS name another environment and what of pyproject.toml's extras goes into it (make setup-slurm).
# Silent and quick where nothing has changed: .venv/.installed keeps the checksum of what it was made from.
set -eu
CDPATH='' cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=${VENV:-.venv}
extras=${EXTRAS:-test,publish}
installed=$venv/.installed
wanted=$({ pwd -P; cat pyproject.toml constraints.txt; } | cksum)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

venv_runs() { "$venv/bin/python" -c '' 2>/dev/null; }

# A virtual environment carries its own path in every command: one that was moved or copied is useless.
# Its own note of where it is, since activate quotes the path in one way or another; one without is as old as activate.
venv_is_here() {
    [ "$(cat "$venv/.here" 2>/dev/null)" = "$(pwd -P)" ] || grep -qF "$(pwd -P)/$venv" "$venv/bin/activate" 2>/dev/null
}

check_python() {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        fail "$python does not run; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3"
    case $version in
        3.1[1-9] | 3.[2-9][0-9] | [4-9].*) ;;
        *) fail "$python is Python $version, but 3.11 or newer is needed; name one: make PYTHON=python3.12" ;;
    esac
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
}

pip_try() { "$venv/bin/python" -m pip --disable-pip-version-check install --constraint constraints.txt "$@"; }

pip_install() {
    what=$1; shift
    pip_try "$@" ||
        fail "could not install $what, see pip's message above (is the network there?); then run the same command again"
}

has_gpu() { nvidia-smi -L 2>/dev/null | grep -q GPU; }

# Whether an index of packages has torch, and says so within seconds.
answers() {
    "$venv/bin/python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5).read(1)' \
        "${1%/}/torch/" 2>/dev/null
}

install_torch() {
    torch=$(sed -n 's/^torch==//p' constraints.txt)
    found=$("$venv/bin/python" -c 'from importlib.metadata import version as v; print(v("torch").split("+")[0])' \
        2>/dev/null) || found=none
    [ "$found" != "$torch" ] || return 0
    quiet=-qq
    [ ! -t 1 ] || quiet=    # in a terminal pip shows the progress of its largest download
    # From an index of its own without its dependencies: it holds other versions of them than those pinned here.
    from_index="$quiet --no-deps torch==$torch --index-url"
    if [ -n "${TORCH_INDEX:-}" ]; then
        say "installing torch $torch from $TORCH_INDEX"
        # shellcheck disable=SC2086  # several words
        pip_install torch $from_index "$TORCH_INDEX"
        return
    fi
    if [ "$(uname)" = Linux ] && [ -n "${TORCH_CPU_INDEX:-}" ] && ! has_gpu; then
        if answers "$TORCH_CPU_INDEX"; then
            say "installing torch $torch, the build for CPUs, from $TORCH_CPU_INDEX"
            # shellcheck disable=SC2086
            ! pip_try $from_index "$TORCH_CPU_INDEX" || return 0
        fi
        say "$TORCH_CPU_INDEX does not give torch $torch; taking what pip finds, perhaps a CUDA build of several GB"
    fi
    say "installing torch $torch"
    pip_install torch $quiet "torch==$torch"
}

case $(pwd -P) in
    *[:{}]*) fail "$(pwd -P): the path of this checkout has a colon or braces, which PATH or Snakemake cannot have" ;;
esac
if [ "$(cat "$installed" 2>/dev/null)" = "$wanted" ] && venv_runs; then
    exit 0
fi
if ! { venv_runs && venv_is_here; }; then
    check_python
    say "making $venv with Python $version"
    rm -rf "$venv"
    "$python" -m venv "$venv" || { rm -rf "$venv"; fail "$python could not make $venv, see its message above"; }
    pwd -P >"$venv/.here"
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then    # made by uv, or interrupted
    "$venv/bin/python" -m ensurepip >/dev/null || fail "$venv has no pip; remove $venv and run this again"
fi
pip_install pip -qq pip setuptools
install_torch
say "installing the other packages (a minute or two)"
pip_install "the packages of pyproject.toml" -qq --no-build-isolation --editable ".[$extras]"
echo "$wanted" >"$installed"
say "$venv is ready"
