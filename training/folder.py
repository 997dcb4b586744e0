"""Writing a model's folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from training.pipeline import Artifacts
from training.run import MANIFEST, RefusedError


def write(out: Path, artifacts: Artifacts) -> Path:
    """Writes <out>/models/<model_version>/ and returns it.

    A folder of that name with the same bytes is left as it is; with other bytes it is refused, for
    models are immutable. Files go to a temporary folder beside, the manifest last, and appear by
    one rename.
    """
    models = out / "models"
    final = models / artifacts.version
    content = {**artifacts.files, MANIFEST: artifacts.manifest_bytes}
    if final.exists():
        return _same(final, content)
    models.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=models))
    try:
        for path, data in content.items():
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _same(final: Path, content: dict[str, bytes]) -> Path:
    found = {path.relative_to(final).as_posix(): path for path in final.rglob("*") if path.is_file()}
    different = sorted(found.keys() ^ content.keys())
    different += [path for path in found.keys() & content.keys() if found[path].read_bytes() != content[path]]
    if different:
        raise RefusedError(
            f"{final}: exists and differs in {different[0]}; a model is immutable: remove it first"
        )
    return final
