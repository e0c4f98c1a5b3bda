#!/bin/sh
# A LaTeX engine for reports/tables.pdf; `make setup` calls it. Silent where there is one. Otherwise installs
# Debian's packages where it may, and where it may not says in one line what to install: the tables come as
# .tex, .csv and .md all the same, so this never fails.
set -eu
CDPATH='' cd "$(dirname "$0")/.."

packages="latexmk texlive-latex-base texlive-latex-recommended texlive-fonts-recommended lmodern"
tried=${VENV:-.venv}/.latex-tried    # there after an installation that failed, and kept with its log until .venv is remade

has() { command -v "$1" >/dev/null 2>&1; }

has_latex() {
    has tectonic || { has latexmk && has pdflatex && kpsewhich booktabs.sty && kpsewhich lmodern.sty; } >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_latex() {
    has apt-get || return 1
    [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; } || return 1
    [ ! -e "$tried" ] || return 1
    echo "setup: installing LaTeX with apt-get ($packages; a few minutes)"
    {
        as_root apt-get update || true    # a stale list may do
        # shellcheck disable=SC2086  # $packages are several words
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
            -o DPkg::Lock::Timeout=120 $packages
    } >"$tried" 2>&1 </dev/null && rm "$tried"
}

has_latex || install_latex || true
if ! has_latex; then
    [ ! -e "$tried" ] || packages="$packages (the log of the failed try: $tried)"
    printf 'setup: no LaTeX engine, so no reports/tables.pdf (the tables still come as .tex, .csv and .md): %s\n' \
        "install tectonic, or on Debian and Ubuntu: sudo apt-get install $packages" >&2
fi
