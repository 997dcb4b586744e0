// Package certificates holds the certificate authorities of Amazon RDS, and checks those that a
// person adds to them. It opens no connection. See README.md for where the authorities come from.
package certificates

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"diecast/internal/plaintext"
)

// FileName is how a bundle of RDS's authorities and further ones is called beside a program.
const FileName = "authorities.pem"

var (
	// RDS is the bundle of RDS's authorities, in PEM form.
	//
	//go:embed rds.pem
	RDS []byte

	// authorityName is how RDS calls its authorities: by their region and their key.
	authorityName = regexp.MustCompile(`^Amazon RDS ([a-z]{2,4}(?:-[a-z]+)+-\d) Root CA `)
)

// With is the bundle of RDS's authorities and further ones: what is trusted in place of RDS alone.
func With(further []byte) []byte {
	text, err := plaintext.Trim(further)
	if err != nil {
		text = further // nothing of it is trusted
	}
	return slices.Concat(bytes.TrimSpace(RDS), []byte("\n"), bytes.TrimSpace(text), []byte("\n"))
}

// Regions are those whose databases the authorities of a bundle sign for, by the names that RDS
// gives its authorities, sorted. unnamed are the subjects of those that are called otherwise, so
// that nobody knows what they sign for.
func Regions(bundle []byte) (regions, unnamed []string) {
	all, _ := parse(bundle)
	for _, authority := range all {
		found := authorityName.FindStringSubmatch(authority.Subject.CommonName)
		if found == nil {
			unnamed = append(unnamed, authority.Subject.String())
			continue
		}
		regions = append(regions, found[1])
	}
	slices.Sort(regions)
	return slices.Compact(regions), unnamed
}

// Check says all that is wrong with a bundle of further authorities at a time: what is no
// certificate, what is no authority, and what is not valid.
func Check(bundle []byte, now time.Time) error {
	all, err := parse(bundle)
	problems := []error{err}
	for i, certificate := range all {
		name := fmt.Sprintf("certificate %d (%s)", i+1, certificate.Subject)
		if !certificate.BasicConstraintsValid || !certificate.IsCA {
			problems = append(problems, fmt.Errorf("%s is no certificate authority", name))
		}
		if now.After(certificate.NotAfter) {
			problems = append(problems,
				fmt.Errorf("%s expired on %s", name, certificate.NotAfter.Format(time.DateOnly)))
		}
		if now.Before(certificate.NotBefore) {
			problems = append(problems, fmt.Errorf("%s is not valid before %s", name,
				certificate.NotBefore.Format(time.DateOnly)))
		}
	}
	return errors.Join(problems...)
}

// parse reads every certificate, and says what else there is. A block that the PEM reader passes
// over, for a mark before it or a broken line in it, must not go unnoticed.
func parse(bundle []byte) ([]*x509.Certificate, error) {
	var (
		certificates []*x509.Certificate
		problems     []error
		read         int
	)
	bundle, err := plaintext.Trim(bundle)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		read++
		if block.Type != "CERTIFICATE" {
			problems = append(problems, fmt.Errorf("PEM block %d is a %s: only certificates belong into it", read,
				block.Type))
			continue
		}
		if len(block.Headers) != 0 { // x509.CertPool passes over it without a word
			problems = append(problems, fmt.Errorf("PEM block %d has headers (%s), and programs would not trust it: "+
				"delete the lines between BEGIN and the first empty one", read,
				strings.Join(slices.Sorted(maps.Keys(block.Headers)), ", ")))
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			problems = append(problems, fmt.Errorf("PEM block %d: %w", read, err))
			continue
		}
		certificates = append(certificates, certificate)
	}
	if begun := bytes.Count(bundle, []byte("-----BEGIN ")); begun != read {
		problems = append(problems, fmt.Errorf("%d PEM blocks begin in it and %d can be read: each must begin a line "+
			"and be whole", begun, read))
	}
	if len(certificates) == 0 && len(problems) == 0 {
		problems = append(problems, errors.New("it holds no certificate in PEM form; `openssl x509 -inform der` "+
			"turns DER into it"))
	}
	return certificates, errors.Join(problems...)
}
