// Command stranger is another user of the machine: it tries each door of a run that it is told of,
// without the run's files and environment, and prints what it has tried, and what let it in.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// told is what anybody can find out of a run: its ports, processes and where its files lie.
type told struct {
	Ports, Processes []int
	Folders          []string
}

// found is what is printed.
type found struct {
	Tried map[string]int
	In    []string
}

func (f *found) try(kind, what string, in bool) {
	f.Tried[kind]++
	if in {
		f.In = append(f.In, kind+": "+what)
	}
}

func main() {
	var run told
	if err := json.NewDecoder(os.Stdin).Decode(&run); err != nil {
		panic(err)
	}
	f := &found{Tried: map[string]int{}}
	for _, port := range run.Ports {
		if !f.http(port) {
			f.databases(port)
		}
	}
	for _, process := range run.Processes {
		f.process(process)
	}
	for _, folder := range run.Folders {
		f.files(folder)
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		panic(err)
	}
}

// refused is what an API says of who may not enter.
var refused = regexp.MustCompile(`MissingAuthenticationToken|UnrecognizedClient|InvalidAccessKeyId|` +
	`InvalidClientTokenId|AccessDenied|IncompleteSignature|Forbidden|403`)

// http tells whether a port speaks it.
func (f *found) http(port int) bool {
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	const old = "AWS4-HMAC-SHA256 Credential=AKIADIECASTLOCALRUN0/20260101/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;x-amz-date, Signature=0"
	for _, headers := range []map[string]string{
		{}, {"Authorization": old, "X-Amz-Date": "20260101T000000Z"}, {"Authorization": "Basic cm9vdDpyb290"},
		{"Origin": "https://example.com"}, {"Host": "example.com"}, {"Cookie": fmt.Sprintf("diecast-%d=x", port)},
		{"X-Amz-Target": "secretsmanager.ListSecrets", "Authorization": old},
		{"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"},
		{"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"},
		{"X-Amz-Target": "AWSGlue.GetJobRuns", "Authorization": old},
	} {
		for _, asked := range []string{
			"GET /", "POST /", "GET /sales", "GET /healthz", "POST /moto-api/reset",
			"POST /?Action=DescribeAutoScalingGroups&Version=2011-01-01", "GET /2018-06-01/runtime/invocation/next",
			"POST /2018-06-01/runtime/init/error", "POST /2015-03-31/functions/any/invocations",
			"PUT /latest/api/token", "GET /?token=x",
		} {
			method, path, _ := strings.Cut(asked, " ")
			request, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path),
				strings.NewReader("{}"))
			if err != nil {
				panic(err)
			}
			for name, value := range headers {
				request.Header.Set(name, value)
			}
			request.Host = headers["Host"]
			request.Header.Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			response, err := client.Do(request)
			if err != nil {
				f.try("not HTTP", asked, false)
				return false
			}
			body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
			_ = response.Body.Close()
			in := response.StatusCode != http.StatusForbidden &&
				(response.StatusCode != http.StatusBadRequest || !refused.Match(body))
			f.try("HTTP", fmt.Sprintf("port %d, %s %v: %s %s", port, asked, headers, response.Status,
				bytes.TrimSpace(body)), in)
		}
	}
	return true
}

func (f *found) databases(port int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	postgres, mariadb := true, true
	for _, user := range []string{"postgres", "rdsadmin", "root", "admin", "vector_admin", "nobody", "inference_reader",
		"mariadb.sys", "etl_reader", "web_reader", ""} {
		for _, password := range []string{"", user, "postgres"} {
			if !postgres {
				break
			}
			address := fmt.Sprintf("host=127.0.0.1 port=%d user='%s' password='%s' dbname=postgres sslmode=disable "+
				"connect_timeout=5", port, user, password)
			connection, err := pgx.Connect(ctx, address)
			if err == nil {
				_ = connection.Close(ctx)
			} else if !strings.Contains(err.Error(), "SQLSTATE") {
				postgres = false
				break
			}
			f.try("PostgreSQL", user, err == nil)
		}
		for _, password := range []string{"", user, "root"} {
			if !mariadb {
				break
			}
			settings := mysql.NewConfig()
			settings.User, settings.Passwd = user, password
			settings.Net, settings.Addr = "tcp", fmt.Sprintf("127.0.0.1:%d", port)
			settings.Timeout, settings.ReadTimeout, settings.Logger = 5*time.Second, 5*time.Second, &mysql.NopLogger{}
			pool, err := sql.Open("mysql", settings.FormatDSN())
			if err != nil {
				panic(err)
			}
			err = pool.PingContext(ctx)
			_ = pool.Close()
			if err != nil && !strings.Contains(err.Error(), "Error 1") {
				mariadb = false
				break
			}
			f.try("MariaDB", user, err == nil)
		}
	}
}

func (f *found) process(process int) {
	folder := fmt.Sprintf("/proc/%d", process)
	_, err := os.ReadFile(folder + "/environ")
	f.try("environment", folder, err == nil)
	_, err = os.ReadDir(folder + "/fd")
	f.try("descriptors", folder, err == nil)
	_, err = os.ReadDir(folder + "/cwd")
	f.try("working directory", folder, err == nil)
	file, err := os.Open(folder + "/mem")
	if err == nil {
		_ = file.Close()
	}
	f.try("memory", folder, err == nil)
	f.try("signal", folder, syscall.Kill(process, 0) == nil)
}

func (f *found) files(folder string) {
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		f.try("file", path, err == nil && path != folder)
		if err == nil && path != folder && !entry.IsDir() {
			_, err := os.ReadFile(path)
			f.try("content", path, err == nil)
		}
		_, readable := os.ReadDir(folder)
		f.try("folder", folder, readable == nil)
		return nil
	})
}
