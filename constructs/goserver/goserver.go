// Package goserver makes an S3 asset of one Go command of this module, compiled at synthesis for
// the Linux and the architecture of the instances that run it. It must not know what the program
// serves, nor how an instance starts it.
package goserver

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/gobuild"
	"diecast/constructs/role"
)

// Props configures a server's program.
type Props struct {
	// Source is the folder of the Go command below the module's root: "web". Required.
	Source string
	// Architecture of the instances, as Go calls it: arm64 or amd64. Required.
	Architecture string
}

// unbuilt is the checksum where CDK bundles nothing: no file has it, so that nothing unbuilt
// starts.
var unbuilt = strings.Repeat("0", 64)

// Server is a compiled program that lies in S3 once its stack is deployed.
type Server struct {
	props    Props
	asset    awss3assets.Asset
	checksum string
}

// Target is what New compiles, for who wants it ahead.
func Target(p Props) gobuild.Target {
	return gobuild.Target{Packages: "./" + p.Source, Architecture: p.Architecture}
}

// New makes the program at id in scope.
func New(scope constructs.Construct, id string, p Props) *Server {
	root, err := gobuild.ModuleRoot()
	if err != nil {
		panic(err)
	}
	p.validate(root)
	this := constructs.NewConstruct(scope, jsii.String(id))
	name := path.Base(p.Source)
	// CDK names an object after the file's extension, or doubles its hash.
	build := gobuild.NewBundler(Target(p), name, name+".bin")
	asset := awss3assets.NewAsset(this, jsii.String("Program"), &awss3assets.AssetProps{
		Path:          jsii.String(filepath.Join(root, p.Source)),
		AssetHashType: awscdk.AssetHashType_OUTPUT,
		DisplayName:   jsii.String(p.Source),
		// One file, not an archive of it: an instance needs nothing to unpack it.
		Bundling: build.Options(awscdk.BundlingOutput_SINGLE_FILE),
	})
	if err := build.Err(); err != nil {
		panic(err)
	}
	s := &Server{props: p, asset: asset, checksum: build.SHA256()}
	if s.checksum == "" {
		s.checksum = unbuilt
	}
	return s
}

func (p Props) validate(root string) {
	info, err := os.Stat(filepath.Join(root, p.Source))
	if p.Source == "" || path.Clean(p.Source) != p.Source || err != nil || !info.IsDir() {
		panic(fmt.Sprintf("goserver: Source must be a folder of the module, got %q; name it like web", p.Source))
	}
	if !slices.Contains([]string{"arm64", "amd64"}, p.Architecture) {
		panic(fmt.Sprintf("goserver: Architecture must be arm64 or amd64, got %q; it is that of the instance type",
			p.Architecture))
	}
}

// Package is the program's package, as the go command takes it at the module's root.
func (s *Server) Package() string { return Target(s.props).Packages }

// Name is the executable's file name.
func (s *Server) Name() string { return path.Base(s.props.Source) }

// Architecture is that for which the program is compiled, as Go calls it.
func (s *Server) Architecture() string { return s.props.Architecture }

// URL is where the program lies, s3://bucket/key, known at deployment.
func (s *Server) URL() *string { return s.asset.S3ObjectUrl() }

// SHA256 is the program's checksum in hexadecimal digits. Where CDK bundles nothing, as for a stack
// that is not asked for, it is one that no file has.
func (s *Server) SHA256() string { return s.checksum }

// AllowRead lets whoever runs in the role fetch the program.
func (s *Server) AllowRead(r *role.Role) {
	r.Allow("ReadProgram", []string{"s3:GetObject"}, s.asset.Bucket().ArnForObjects(s.asset.S3ObjectKey()))
}
