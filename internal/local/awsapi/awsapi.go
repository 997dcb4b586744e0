// Package awsapi runs a server of AWS APIs on this machine, and points the SDK's clients at it: it
// has an account, a region and credentials. It knows nothing of what a server serves.
package awsapi

import (
	"context"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"diecast/internal/local/admission"
	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/surroundings"
)

// Defaults of Options.
const (
	DefaultRegion  = "us-east-1"
	DefaultAccount = "000000000000"
)

// memoryShare of the machine is what one program may take by default.
const memoryShare = 4

// Options of a server. The zero value is a server on a free port with a temporary folder.
type Options struct {
	// Dir keeps the log and the process id, for this server alone. What an earlier server of the
	// same folder left running is killed. Default: a temporary folder that Stop removes.
	Dir string
	// Fresh empties the folder first.
	Fresh bool
	// Port to listen on. Default: a free one.
	Port int
	// Account and Region stand in the ARNs. Defaults: DefaultAccount and DefaultRegion.
	Account, Region string
	// MemoryLimit is how much memory the program may take, in bytes, before it refuses to store
	// more. Default: a quarter of this machine's, as three engines store.
	MemoryLimit int64
	// Source is a folder of the module, beside whose go.mod npm packages are installed. Default:
	// the working directory.
	Source string
	// Credentials that Config carries. The server refuses requests of any other access key id; it
	// verifies no signature. Default: random ones.
	Credentials aws.Credentials
}

// KeyVariable is the variable by which a program learns the id of the access key that it admits.
const KeyVariable = "DIECAST_ACCESS_KEY_ID"

// Program is what to run. It chooses its port itself when any will do and tells it in a file, which
// appears once the program listens.
type Program struct {
	// Name of the program, for files and messages.
	Name string
	// Path of the executable.
	Path string
	// Arguments; the port (0: any) and the file that takes the port are appended.
	Arguments []string
	// Environment beside that of package surroundings, and beside KeyVariable: a secret, which no
	// argument may tell, because every user sees those.
	Environment map[string]string
}

// Server is a running program. What it stores is gone when it ends.
type Server struct {
	*server.Server
	options Options
}

// Start starts a program and returns once it listens. The context bounds the start only.
func Start(ctx context.Context, options Options, prepare func(Options) (Program, error)) (*Server, error) {
	options = options.withDefaults()
	program, err := prepare(options)
	if err != nil {
		return nil, err
	}
	started, err := server.Start(ctx, server.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port},
		server.Program{
			Name: program.Name,
			Command: func(place server.Place) process.Command {
				return process.Command{
					Path: program.Path, Arguments: slices.Concat(program.Arguments, []string{strconv.Itoa(place.Port),
						place.PortFile()}),
					Environment: surroundings.List(surroundings.Bare(place.Dir), program.Environment,
						map[string]string{
							KeyVariable:            options.Credentials.AccessKeyID,
							"DIECAST_MEMORY_LIMIT": strconv.FormatInt(options.MemoryLimit, 10),
						}),
				}
			},
		})
	if err != nil {
		return nil, err
	}
	return &Server{Server: started, options: options}, nil
}

func (o Options) withDefaults() Options {
	if o.Account == "" {
		o.Account = DefaultAccount
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = process.MachineMemory() / memoryShare
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.Credentials.AccessKeyID == "" {
		o.Credentials = admission.NewCredentials()
	}
	return o
}

// Memory is what the program takes of this machine's memory, and the most that it may, in bytes.
func (s *Server) Memory() (taken, limit int64, err error) {
	taken, err = process.Memory(s.PID())
	return taken, s.options.MemoryLimit, err
}

// Endpoint is the URL that AWS_ENDPOINT_URL and its kin take.
func (s *Server) Endpoint() string { return "http://" + s.Address() }

// Config points a client of the SDK at the server.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region: s.options.Region, BaseEndpoint: aws.String(s.Endpoint()),
		Credentials: credentials.StaticCredentialsProvider{Value: s.options.Credentials},
		HTTPClient:  client{awshttp.NewBuildableClient()},
	}
}
