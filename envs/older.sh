#!/bin/sh
# Makes .venv-older: transformers 4 by itself, in front of what .venv has of everything else; `make test-older`
# calls it. So exports are read by an older release within a minute, without another torch.
set -eu
CDPATH='' cd "$(dirname "$0")/.."

release=4.57.3
venv=.venv-older
[ "$("$venv/bin/python" -c 'import transformers; print(transformers.__version__)' 2>/dev/null)" != "$release" ] || exit 0
.venv/bin/python -m venv --clear "$venv"
places='import sysconfig; print(sysconfig.get_path("purelib"))'
own=$("$venv/bin/python" -c "$places")
"$venv/bin/python" -m pip --disable-pip-version-check -qq install --no-deps \
    "transformers==$release" tokenizers==0.22.1 huggingface-hub==0.36.0
.venv/bin/python -c "$places" >"$own/shared.pth"
