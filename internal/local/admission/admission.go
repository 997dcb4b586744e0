// Package admission keeps what a run serves on this machine to the run: every user of the machine,
// and every page in a browser, reaches the ports of 127.0.0.1.
//
// Who may enter knows a secret that only the run's files and its children's environments have: the
// id of its access key, in the place where every signed request to AWS tells it, or a path. No
// browser's page enters where it is not the server's own. The package knows none of the servers.
package admission

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/uuid"
)

// NewCredentials are random. The id has the form of AWS's, 20 letters and digits, 80 bits of them
// random: it is a secret as well as the key is.
func NewCredentials() aws.Credentials {
	return aws.Credentials{
		AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: (rand.Text() + rand.Text())[:40],
	}
}

// NewSecret is one for a path or a header.
func NewSecret() string { return rand.Text() }

// Same compares secrets in a time that tells nothing of them. Nothing is no secret.
func Same(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

// Stranger says why a request is one that a browser's page sent, or may have sent, to a server that
// is not its own: it tells an origin, or asks for a host of another name, which a name server can
// make lead here. It is empty for all others.
func Stranger(r *http.Request) string {
	switch {
	case len(r.Header.Values("Origin")) > 0:
		return "requests with an Origin, as pages in a browser send them, are refused"
	case !ownHost(r):
		return "the host is that of no address of this server"
	}
	return ""
}

// ownHost tells whether a request asks for 127.0.0.1 or localhost, with the port that it came to.
func ownHost(r *http.Request) bool {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	_, own, err := net.SplitHostPort(address.String())
	host, port, hostErr := net.SplitHostPort(r.Host)
	return err == nil && hostErr == nil && port == own && (host == "127.0.0.1" || host == "localhost")
}

// NoStrangers refuses the requests of Stranger with 403.
func NoStrangers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := Stranger(r); why != "" {
			Refuse(w, r, http.StatusForbidden, "AccessDeniedException", why)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Signed refuses, beside strangers, who does not sign with the access key of this id, as AWS does.
// It does not verify the signature: who knows the id has read it where the key is.
func Signed(id string, next http.Handler) http.Handler {
	return NoStrangers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch given := keyID(r); {
		case given == "":
			Refuse(w, r, http.StatusForbidden, "MissingAuthenticationToken", "Missing Authentication Token")
		case !Same(given, id):
			Refuse(w, r, http.StatusForbidden, "InvalidClientTokenId",
				"The security token included in the request is invalid.")
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// keyID is the access key's that a request tells, in the header Authorization or in the query of
// one that was signed beforehand (AWS Signature Version 4 for API requests, IAM User Guide); empty
// where it tells none.
func keyID(r *http.Request) string {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if header := r.Header.Get("Authorization"); header != "" {
		_, fields, _ := strings.Cut(header, " ")
		for field := range strings.SplitSeq(fields, ",") {
			if told, ok := strings.CutPrefix(strings.TrimSpace(field), "Credential="); ok {
				credential = told
			}
		}
	}
	id, _, _ := strings.Cut(credential, "/")
	return id
}

// Below serves below /<secret>/ and takes that away; who asks for another path is refused, and
// strangers are.
func Below(secret string, next http.Handler) http.Handler {
	return NoStrangers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, rest, found := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		path, err := url.PathUnescape(rest)
		if !found || err != nil || !Same(given, secret) {
			Refuse(w, r, http.StatusForbidden, "AccessDeniedException", "Forbidden")
			return
		}
		inner := r.Clone(r.Context())
		inner.URL.Path, inner.URL.RawPath = "/"+path, "/"+rest
		next.ServeHTTP(w, inner)
	}))
}

// WithPassword serves who tells the secret as the password of Basic authentication, which HTTP
// clients take from an address; strangers are refused.
func WithPassword(secret string, next http.Handler) http.Handler {
	return NoStrangers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || !Same(password, secret) {
			Refuse(w, r, http.StatusForbidden, "AccessDeniedException", "Forbidden")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// Refuse answers as AWS does in the request's protocol: by the rules of AWS JSON where it names a
// target, else as XML. JSON has names of its own for two errors, and the status 400.
func Refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	id := uuid.NewString()
	w.Header().Set("X-Amzn-Requestid", id)
	if r.Header.Get("X-Amz-Target") == "" {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		type detail struct{ Type, Code, Message string }
		_ = xml.NewEncoder(w).Encode(struct { // the caller has hung up
			XMLName   xml.Name `xml:"ErrorResponse"`
			Error     detail
			RequestID string `xml:"RequestId"`
		}{Error: detail{"Sender", code, message}, RequestID: id})
		return
	}
	switch code {
	case "MissingAuthenticationToken":
		code = "MissingAuthenticationTokenException"
	case "InvalidClientTokenId":
		code = "UnrecognizedClientException"
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message}) // as above
}
