package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"diecast/internal/awsdb/certificates"
)

// Databases is what the vector store and the source database share.
type Databases struct {
	// CertificateAuthorities is the path of a PEM file, or empty.
	CertificateAuthorities  string
	AutoMinorVersionUpgrade bool
}

var databasesKeys = []Key{
	authorities("databases.certificateAuthorities",
		func(c *Config) *string { return &c.Databases.CertificateAuthorities },
		"Authorities that programs trust beside those of RDS that they carry: AWS's bundle of a region that "+
			"opened lately. It is checked, and shipped beside whatever speaks to a database."),
	boolean("databases.autoMinorVersionUpgrade", values[bool]{lean: true, standard: true, prod: false, course: true},
		func(c *Config) *bool { return &c.Databases.AutoMinorVersionUpgrade },
		"Lets RDS take the databases to newer minor versions in their maintenance window, with some minutes of "+
			"interruption; false leaves that to the engineVersion keys, as long as RDS runs the old one."),
}

// Minor versions that RDS creates, by cfn-lint's list of them. Tests run none of the two: binaries
// of PostgreSQL 18.4, and MariaDB 11.4.5 in the place of MySQL.
const (
	createdPostgreSQL = "18.6"
	createdMySQL      = "8.4.11"

	ranPostgreSQL = "PostgreSQL 18.4"
	ranMySQL      = "MariaDB 11.4.5"
)

// The major versions are those that schemas, drivers and parameter groups are written for.
var (
	postgreSQLSyntax = regexp.MustCompile(`^18\.[1-9]\d?$`)
	mySQLSyntax      = regexp.MustCompile(`^8\.4\.[1-9]\d?$`)
)

// engineVersion reads the minor version of a database's engine; every profile has the same one.
func engineVersion(name, engine, created, ran string, syntax *regexp.Regexp, field func(*Config) *string) Key {
	major := created[:strings.LastIndex(created, ".")]
	return text(name, syntax, fmt.Sprintf("a minor version of %s %s, such as %s", engine, major, created),
		every(created), field, fmt.Sprintf("The version that RDS creates, or upgrades to. RDS creates %s by "+
			"cfn-lint's list; tests run %s. RDS stops creating a minor version after a year or so (aws rds "+
			"describe-db-engine-versions), and never goes back to an older one.", created, ran))
}

// generation reads how often a database was replaced.
func generation(name, database string, field func(*Config) *int) Key {
	return integer(name, 1, 1_000_000, every(1), field,
		"Raise it after "+database+" was restored or replaced outside of CloudFormation: the next deployment fills it "+
			"where it is empty, and tells host and login to whatever connects.")
}

// maximumAuthoritiesBytes is some six times AWS's bundle of all regions. It is shipped beside each
// program.
const maximumAuthoritiesBytes = 1 << 20

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
		bundle, err := readAuthorities(file)
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
	return readAuthorities(c.Databases.CertificateAuthorities)
}

// readAuthorities reads a file of authorities. A pipe or a device would hold up the synthesis, and
// would be empty when it is read again to be shipped.
func readAuthorities(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: name a copy of the bundle on disk", file)
	}
	if info.Size() > maximumAuthoritiesBytes {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read: AWS's bundle of one region has some "+
			"thousand", file, info.Size(), maximumAuthoritiesBytes)
	}
	return os.ReadFile(file)
}

// authorityNotices tell of authorities that lift what Network's template knows of the regions.
func (c Config) authorityNotices() []string {
	further, err := c.FurtherAuthorities()
	if err != nil { // a file that cannot be read was refused with the configuration
		return nil
	}
	var notices []string
	_, unnamed := certificates.Regions(further)
	for _, subject := range unnamed {
		notices = append(notices, fmt.Sprintf("databases.certificateAuthorities=%s: the authority %q names no region, "+
			"so that no region is refused for want of one: see to it that it signs for RDS where you deploy to",
			c.Databases.CertificateAuthorities, subject))
	}
	return notices
}
