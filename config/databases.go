package config

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"time"

	"diecast/internal/awsdb/certificates"
)

// Databases is what the vector store and the source database share.
type Databases struct {
	// CertificateAuthorities is the path of a PEM file, or empty.
	CertificateAuthorities string
}

var databasesKeys = []Key{
	authorities("databases.certificateAuthorities",
		func(c *Config) *string { return &c.Databases.CertificateAuthorities },
		"Authorities that programs trust beside those of RDS that they carry: AWS's bundle of a region that "+
			"opened lately. It is checked, and shipped beside whatever speaks to a database."),
}

// printable are paths that a message can show as they are.
var printable = regexp.MustCompile(`^\PC*$`)

// authorities reads the path of a PEM file, none in any profile, and checks what it holds.
func authorities(name string, field func(*Config) *string, meaning string) Key {
	const allowed = "the path of a PEM file of certificate authorities, or empty"
	return newKey(name, allowed, every(""), field, meaning, func(file string) (string, error) {
		if file == "" {
			return "", nil
		}
		if !printable.MatchString(file) {
			return "", errNotAllowed
		}
		bundle, err := os.ReadFile(file)
		if err == nil {
			err = certificates.Check(bundle, time.Now())
		}
		if err != nil {
			return "", errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		return file, nil
	})
}

// FurtherAuthorities reads the file of databases.certificateAuthorities; nil where there is none.
func (c Config) FurtherAuthorities() ([]byte, error) {
	if c.Databases.CertificateAuthorities == "" {
		return nil, nil
	}
	return os.ReadFile(c.Databases.CertificateAuthorities)
}
