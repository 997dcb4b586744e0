#!/bin/sh
# Fetches the jars of the ETL job, checks them and puts them into <cache>/glue-jars-1, in one step,
# once. Needs mvn (with a Java). jdbc/ is what the deployed job ships; jdbc-glue/ is the driver that
# Glue 5.1 brings; s3a/ is what Glue has of its own to read and write s3:// paths. Usage:
# install_jars.sh CACHE_FOLDER
set -eu

# Raise it with any change below: the folder of a version is complete or it is not there.
version=1
connector_j=8.4.0
connector_j_of_glue=8.0.33
hadoop=3.3.4
aws_sdk=1.12.262

[ $# -eq 1 ] || { echo "usage: $0 CACHE_FOLDER" >&2; exit 2; }
cache=$1
target=$cache/glue-jars-$version
[ -d "$target" ] && exit 0

refuse() {
	echo "glue-jars: $1" >&2
	exit 1
}
command -v mvn >/dev/null || refuse "Maven (mvn) is needed to fetch MySQL's and S3's jars: install it"
mkdir -p "$cache"
work=$(mktemp -d "$cache/.glue-jars-XXXXXX")
trap 'rm -rf "$work"' EXIT

item() {
	echo "<artifactItem><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version>"
	echo "<outputDirectory>$4</outputDirectory></artifactItem>"
}
{
	echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
	echo '<groupId>diecast</groupId><artifactId>glue-jars</artifactId><version>1</version><packaging>pom</packaging><build><plugins><plugin>'
	echo '<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version>'
	echo '<configuration><artifactItems>'
	item com.mysql mysql-connector-j $connector_j jars/jdbc
	item com.mysql mysql-connector-j $connector_j_of_glue jars/jdbc-glue
	item org.apache.hadoop hadoop-aws $hadoop jars/s3a
	for module in aws-java-sdk-s3 aws-java-sdk-core aws-java-sdk-kms aws-java-sdk-dynamodb aws-java-sdk-sts \
		jmespath-java; do
		item com.amazonaws $module $aws_sdk jars/s3a
	done
	echo '</artifactItems></configuration></plugin></plugins></build></project>'
} > "$work/pom.xml"
# A JAVA_HOME of a bundled runtime can lack the system's certificate authorities.
(cd "$work" && env -u JAVA_HOME mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy)

(cd "$work/jars" && sha256sum --quiet --check -) <<'SUMS' || refuse "a jar is not what it was when it was chosen"
e2a3b2fc726a1ac64e998585db86b30fa8bf3f706195b78bb77c5f99bf877bd9  jdbc-glue/mysql-connector-j-8.0.33.jar
d77962877d010777cff997015da90ee689f0f4bb76848340e1488f2b83332af5  jdbc/mysql-connector-j-8.4.0.jar
06fed99f929c389e168278c1b111aaf1afb270d07202fbbce92e73d1e4279678  s3a/aws-java-sdk-core-1.12.262.jar
7af4ba06d0d9b3c2ab435089caecd0567810d203aa285f7aa72861f1964d442e  s3a/aws-java-sdk-dynamodb-1.12.262.jar
c00f5ae7b334255f661d85512e7203af9523a04fb65d0c431c2eea2003ed8ae2  s3a/aws-java-sdk-kms-1.12.262.jar
a0cb7580178bc0d4d3558295a5bb890008478da8a6b3241989c71238b0ed3be5  s3a/aws-java-sdk-s3-1.12.262.jar
659f48d8ebc02025c5042cc4b925f62610e81f334498f1b9e7a271ce20ecbcae  s3a/aws-java-sdk-sts-1.12.262.jar
53f9ae03c681a30a50aa17524bd9790ab596b28481858e54efd989a826ed3a4a  s3a/hadoop-aws-3.3.4.jar
9001ea993a45d82a2d3086edcbda8a40b4e012d049a70fbf071fd329c0fbd777  s3a/jmespath-java-1.12.262.jar
SUMS
chmod 755 "$work/jars"
mv -T "$work/jars" "$target" 2>/dev/null || [ -d "$target" ]
