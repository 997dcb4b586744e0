package lambdahost

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"diecast/internal/local/admission"
)

const (
	signatureAlgorithm = "AWS4-HMAC-SHA256"
	signatureTime      = "20060102T150405Z"
	// maxSkew is how far the signer's clock may be off (AWS General Reference, "Signature Version
	// 4").
	maxSkew = 5 * time.Minute
)

// refusal is why a signature is refused: AWS's name for it and AWS's words.
type refusal struct{ exception, message string }

func (r *refusal) Error() string { return r.message }

var (
	errNotSigned  = &refusal{"MissingAuthenticationTokenException", "Missing Authentication Token"}
	errUnknownKey = &refusal{"UnrecognizedClientException",
		"The security token included in the request is invalid."}
	errIncomplete = &refusal{"IncompleteSignatureException",
		"Authorization header requires Credential, Signature and SignedHeaders with host and x-amz-date, and there " +
			"must be an X-Amz-Date header."}
	errScope = &refusal{"InvalidSignatureException",
		"Credential should be scoped to the day of X-Amz-Date, a valid region and the correct service: lambda."}
	errExpired = &refusal{"InvalidSignatureException",
		"Signature expired: X-Amz-Date is more than 5 minutes off."}
	errWrongSignature = &refusal{"InvalidSignatureException",
		"The request signature we calculated does not match the signature you provided. Check your AWS Secret " +
			"Access Key and signing method. Consult the service documentation for details."}
)

// verifier checks signatures of version 4 in the Authorization header (AWS Signature Version 4 for
// API requests, IAM User Guide). Signatures in the query string are not known.
type verifier struct {
	credentials aws.Credentials
	region      string
}

// verify signs the same request with the known secret and compares: nil where they are equal.
func (v verifier) verify(r *http.Request, body []byte) *refusal {
	header := r.Header.Get("Authorization")
	if header == "" {
		return errNotSigned
	}
	algorithm, rest, _ := strings.Cut(header, " ")
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	date, err := time.Parse(signatureTime, r.Header.Get("X-Amz-Date"))
	if algorithm != signatureAlgorithm || err != nil || !slices.Contains(signed, "host") ||
		!slices.Contains(signed, "x-amz-date") {
		return errIncomplete
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || parts["Signature"] == "" {
		return errIncomplete
	}
	if !admission.Same(scope[0], v.credentials.AccessKeyID) ||
		r.Header.Get("X-Amz-Security-Token") != v.credentials.SessionToken {
		return errUnknownKey
	}
	if !slices.Equal(scope[1:], []string{date.Format("20060102"), v.region, "lambda", "aws4_request"}) {
		return errScope
	}
	if skew := time.Since(date).Abs(); skew > maxSkew {
		return errExpired
	}
	expected, err := v.sign(r, signed, date, body)
	if err != nil || !hmac.Equal([]byte(expected),
		[]byte(header[strings.LastIndex(header, "Signature=")+len("Signature="):])) {
		return errWrongSignature
	}
	return nil
}

// sign returns the signature of the request with the named headers.
func (v verifier) sign(r *http.Request, signed []string, date time.Time, body []byte) (string, error) {
	target := *r.URL // the signer puts the query in its own order
	again := &http.Request{Method: r.Method, URL: &target, Host: r.Host, Header: http.Header{}}
	for _, name := range signed {
		switch name {
		case "host": // not a header for net/http
		case "content-length": // the signer takes it from the field, where it is not zero
			again.ContentLength = r.ContentLength
		default:
			if values := r.Header.Values(name); len(values) > 0 {
				again.Header[http.CanonicalHeaderKey(name)] = values
			}
		}
	}
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(context.Background(), v.credentials, again, hex.EncodeToString(sum[:]), "lambda",
		v.region, date)
	header := again.Header.Get("Authorization")
	return header[strings.LastIndex(header, "=")+1:], err
}
