// Command sourceloader creates the source database and fills it: at deployment, as a custom resource, and on demand it tells
// its state, lets a generated shop live on, and answers queries, for operators.
//
// Environment: DATABASE_*, see internal/awsdb, for the administrator's login. For the queries' login, the same variables
// behind READER_ (READER_DATABASE_AUTH, READER_DATABASE_USER, READER_DATABASE_SECRET_ARN); those that are not set are the
// administrator's, but for the user, which is etl_reader.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/awsdb"
	"diecast/internal/source"
	"diecast/lambda/internal/function"
	"diecast/lambda/sourceloader/handler"
	"diecast/sql"
)

func main() {
	// Opened by the first event that needs it: deleting the stack must succeed whatever is wrong here.
	connect := sync.OnceValues(func() (handler.Backend, error) { return open(os.Getenv) })
	runtime.Start(handler.Handler{
		Open:   func(context.Context) (handler.Backend, error) { return connect() },
		Logger: function.NewLogger(),
	}.Handle)
}

// open returns clients that live as long as the process.
func open(getenv func(string) string) (handler.Backend, error) {
	administrator, err := awsdb.FromEnvironment(getenv)
	if err != nil {
		return handler.Backend{}, err
	}
	reader, err := awsdb.FromEnvironment(func(name string) string {
		fallback := getenv(name)
		if name == "DATABASE_USER" {
			fallback = sql.ETLReader
		}
		return cmp.Or(getenv("READER_"+name), fallback)
	})
	if err != nil {
		return handler.Backend{}, fmt.Errorf("the queries' login (READER_DATABASE_*): %w", err)
	}
	configuration, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		return handler.Backend{}, err
	}
	pool, err := awsdb.OpenMySQL(administrator, configuration)
	if err != nil {
		return handler.Backend{}, err
	}
	readers, err := awsdb.OpenMySQL(reader, configuration)
	if err != nil {
		return handler.Backend{}, err
	}
	return handler.Backend{Source: source.New(pool), Reader: readers, Dumps: s3.NewFromConfig(configuration)}, nil
}
