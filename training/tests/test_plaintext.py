"""A text's container is looked at first."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training import dataset, plaintext
from training.run import RefusedError
from training.tests.shop import Shop, rewrite


@pytest.mark.parametrize("text", [b"", b"a", b"{}", b"\xef\xbb", "é, ü".encode(), b"PK", b"BZ"])
def test_a_mark_goes_and_nothing_else(text: bytes) -> None:
    assert plaintext.trim(text) == text
    assert plaintext.trim(plaintext.MARK + text) == text


CONTAINERS = {
    "UTF-16: write": "{}".encode("utf-16"),
    "UTF-16: write it as UTF-8": b"\xfe\xff" + "{}".encode("utf-16-be"),
    "UTF-16 without a byte order mark": "{}".encode("utf-16-le"),
    "UTF-16 without a byte order": "{}".encode("utf-16-be"),
    "UTF-32: write": "{}".encode("utf-32"),
    "UTF-32 without a byte order mark": "{}".encode("utf-32-le"),
    "UTF-32 without a byte order": "{}".encode("utf-32-be"),
    "compressed by lz4": b"\x04\x22\x4d\x18\x64",
    "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c",
    "compressed by gzip: unpack it": gzip.compress(b"{}"),
    "compressed by bzip2": b"BZh91AY",
    "compressed by xz": b"\xfd7zXZ\x00",
    "compressed by zstd": b"\x28\xb5\x2f\xfd\x04",
    "a zip archive": b"PK\x03\x04\x14",
}


@pytest.mark.parametrize("said", CONTAINERS)
def test_other_containers_are_named(said: str) -> None:
    with pytest.raises(plaintext.ContainerError, match=said):
        plaintext.trim(CONTAINERS[said])


def test_tables_and_manifest_may_begin_with_a_mark(shop: Shop, tmp_path: Path) -> None:
    folder = shop.write(tmp_path)
    expected = dataset.load(folder)
    path = "products/part-00000.csv"
    rewrite(folder, path, plaintext.MARK + (folder / path).read_bytes())
    manifest = folder / "manifest.json"
    manifest.write_bytes(plaintext.MARK + manifest.read_bytes())
    assert list(dataset.load(folder).products) == list(expected.products)


@pytest.mark.parametrize(
    "encode", [lambda text: text.encode("utf-16"), lambda text: gzip.compress(text.encode())]
)
def test_what_a_table_or_manifest_comes_in_is_named(
    shop: Shop, tmp_path: Path, encode: Callable[[str], bytes]
) -> None:
    folder = shop.write(tmp_path)
    path = "products/part-00000.csv"
    rewrite(folder, path, encode((folder / path).read_text()))
    with pytest.raises(RefusedError, match=r"products/part-00000\.csv: it is (UTF-16|compressed)"):
        dataset.load(folder)
    manifest = folder / "manifest.json"
    manifest.write_bytes(encode(json.dumps(json.loads(manifest.read_text()))))
    with pytest.raises(RefusedError, match=r"manifest\.json: it is (UTF-16|compressed)"):
        dataset.load(folder)
