package stacks

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"

	"diecast/config"
	"diecast/internal/awsdb/certificates"
)

// authorities are what programs trust in place of the authorities that they carry; nothing, where
// databases.certificateAuthorities names no file.
type authorities []byte

func authoritiesOf(cfg config.Config) authorities {
	further, err := cfg.FurtherAuthorities()
	if err != nil {
		panic(fmt.Sprintf("stacks: databases.certificateAuthorities: %v", err))
	}
	if further == nil {
		return nil
	}
	return certificates.With(further)
}

// files are those to lay beside a function.
func (a authorities) files() map[string][]byte {
	if a == nil {
		return nil
	}
	return map[string][]byte{certificates.FileName: a}
}

// path is the variable's value for a program that finds them at a place.
func (a authorities) path(place string) string {
	if a == nil {
		return ""
	}
	return place
}

// write puts them into the cloud assembly, for what is uploaded as a file of its own.
func (a authorities) write(scope constructs.Construct) string {
	file := filepath.Join(*awscdk.Stage_Of(scope).AssetOutdir(), certificates.FileName)
	if err := os.WriteFile(file, a, 0o644); err != nil {
		panic(fmt.Sprintf("stacks: writing the certificate authorities: %v", err))
	}
	return file
}
