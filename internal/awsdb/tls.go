package awsdb

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"

	"diecast/internal/awsdb/certificates"
	"diecast/internal/environment"
	"diecast/internal/plaintext"
)

// rdsRoots is parsed once, by the first connection that needs it.
var rdsRoots = sync.OnceValues(func() (*x509.CertPool, error) {
	return certificatePool("the embedded bundle of RDS", certificates.RDS)
})

// TLS is the client side of verified TLS: the server's certificate must come from a trusted
// authority and bear the host's name. It is nil when TLS is off, which it can only be for loopback
// hosts.
func (s Settings) TLS() (*tls.Config, error) {
	if s.DisableTLS {
		if !environment.Loopback(s.Host) {
			return nil, fmt.Errorf("TLS is off for %s: only a loopback host may be reached without it", s.Host)
		}
		return nil, nil
	}
	roots, err := rdsRoots()
	if s.CAFile != "" {
		var pem []byte
		if pem, err = os.ReadFile(s.CAFile); err != nil {
			return nil, fmt.Errorf("DATABASE_CA_FILE: %w", err)
		}
		roots, err = certificatePool("DATABASE_CA_FILE "+s.CAFile, pem)
	}
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, ServerName: s.Host, MinVersion: tls.VersionTLS12}, nil
}

func certificatePool(source string, pem []byte) (*x509.CertPool, error) {
	text, err := plaintext.Trim(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", source)
	}
	return pool, nil
}
