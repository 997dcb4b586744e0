package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"diecast/internal/local/admission"
	"diecast/internal/local/process"
)

// AuthType is who may call a function URL.
type AuthType string

// The kinds of authentication, as in templates.
const (
	// IAM admits requests signed with the host's credentials.
	IAM AuthType = "AWS_IAM"
	// None admits who knows the URL: on AWS that is everybody, and here whom the run has told it.
	None AuthType = "NONE"
)

// AddURL gives a function a URL, which ends with a slash: a port of its own, so that paths reach
// the function as they were sent. That of None has a path, which is its secret and which the
// function does not see: every user of this machine reaches the port. Requests and answers have
// payload format 2.0; the answer is buffered.
// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
func (h *Host) AddURL(name string, auth AuthType) (string, error) {
	if auth != IAM && auth != None {
		return "", fmt.Errorf("add a URL to function %s: authentication %q: %s and %s are allowed", name, auth, IAM,
			None)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, "0"))
	if err != nil {
		return "", fmt.Errorf("add a URL to function %s: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		err = ErrStopped
	case h.functions[name] == nil:
		err = fmt.Errorf("%w: %s", ErrNotFound, h.ARN(name))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("add a URL to function %s: %w", name, err), listener.Close())
	}
	u := functionURL{host: h, name: name, auth: auth, id: strings.ReplaceAll(uuid.NewString(), "-", "")}
	address := "http://" + listener.Addr().String() + "/"
	if auth == None {
		secret := admission.NewSecret()
		h.serve(listener, admission.Below(secret, u))
		return address + secret + "/", nil
	}
	h.serve(listener, u)
	return address, nil
}

type functionURL struct {
	host *Host
	name string
	auth AuthType
	id   string
}

func (u functionURL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readAll(r)
	if err != nil {
		respondURLError(w, err)
		return
	}
	if u.auth == IAM {
		if refused := u.host.verifier.verify(r, body); refused != nil {
			exception, message := refused.exception, refused.message
			if refused == errNotSigned {
				exception, message = "AccessDeniedException", "Forbidden"
			}
			w.Header().Set("X-Amzn-Errortype", exception)
			reply(w, http.StatusForbidden, map[string]string{"Message": message})
			return
		}
	}
	payload, err := json.Marshal(u.request(r, body))
	if err != nil {
		respondURLError(w, err)
		return
	}
	result, err := u.host.Invoke(r.Context(), u.name, payload)
	if err != nil {
		respondURLError(w, err)
		return
	}
	w.Header().Set("X-Amzn-Requestid", result.RequestID)
	if result.FunctionError != "" {
		respondURLError(w, errors.New(result.FunctionError))
		return
	}
	if err := writeAnswer(w, result.Payload); err != nil {
		respondURLError(w, err)
	}
}

// request is the event of payload format 2.0.
func (u functionURL) request(r *http.Request, body []byte) events.LambdaFunctionURLRequest {
	now := time.Now().UTC()
	sourceIP, _, _ := net.SplitHostPort(r.RemoteAddr) // always host:port on TCP
	host, _, _ := strings.Cut(r.Host, ":")
	request := events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery,
		Headers: map[string]string{"host": r.Host},
		RequestContext: events.LambdaFunctionURLRequestContext{
			AccountID: "anonymous", RequestID: uuid.NewString(), APIID: u.id, DomainName: host, DomainPrefix: u.id,
			Time: now.Format("02/Jan/2006:15:04:05 +0000"), TimeEpoch: now.UnixMilli(),
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{
				Method: r.Method, Path: r.URL.EscapedPath(), Protocol: r.Proto, SourceIP: sourceIP,
				UserAgent: r.UserAgent(),
			},
		},
	}
	for name, values := range r.Header {
		if name == "Cookie" {
			for _, value := range values {
				for cookie := range strings.SplitSeq(value, ";") {
					request.Cookies = append(request.Cookies, strings.TrimSpace(cookie))
				}
			}
			continue
		}
		request.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	for name, values := range r.URL.Query() {
		if request.QueryStringParameters == nil {
			request.QueryStringParameters = map[string]string{}
		}
		request.QueryStringParameters[name] = strings.Join(values, ",")
	}
	if u.auth == IAM {
		account, key := u.host.options.Account, u.host.options.Credentials.AccessKeyID
		request.RequestContext.AccountID = account
		request.RequestContext.Authorizer = &events.LambdaFunctionURLRequestContextAuthorizerDescription{
			IAM: &events.LambdaFunctionURLRequestContextAuthorizerIAMDescription{
				AccessKey: key, AccountID: account, CallerID: key, UserARN: "arn:aws:iam::" + account + ":root",
				UserID: key,
			},
		}
	}
	if len(body) > 0 {
		if isText(r.Header.Get("Content-Type")) && utf8.Valid(body) {
			request.Body = string(body)
		} else {
			request.Body, request.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}
	}
	return request
}

// isText tells whether a body of that media type reaches the function as it is; others do in
// base64.
func isText(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") ||
		slices.Contains([]string{"application/json", "application/xml", "application/javascript"}, kind)
}

// writeAnswer maps what the function answered: an object with a statusCode is the whole response,
// any other JSON is the body of one with status 200. The error says that the object is none of
// payload format 2.0; nothing is written then.
func writeAnswer(w http.ResponseWriter, payload []byte) error {
	var kind struct {
		StatusCode *json.RawMessage `json:"statusCode"`
	}
	answer := events.LambdaFunctionURLResponse{StatusCode: http.StatusOK, Body: string(payload)}
	if json.Unmarshal(payload, &kind) == nil && kind.StatusCode != nil {
		answer = events.LambdaFunctionURLResponse{}
		if err := json.Unmarshal(payload, &answer); err != nil {
			return fmt.Errorf("the function's answer: %w", err)
		}
		if answer.StatusCode < 200 || answer.StatusCode > 599 {
			return fmt.Errorf("the function's answer has status %d: 200 to 599 are allowed", answer.StatusCode)
		}
	}
	body := []byte(answer.Body)
	if answer.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(answer.Body)
		if err != nil {
			return fmt.Errorf("the function's body says that it is base64: %w", err)
		}
		body = decoded
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	for _, name := range slices.Sorted(maps.Keys(answer.Headers)) {
		header.Set(name, answer.Headers[name])
	}
	for _, cookie := range answer.Cookies {
		header.Add("Set-Cookie", cookie)
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body) // the caller has hung up, or the status allows no body
	return nil
}

// respondURLError answers what a function URL answers when there is no answer of the function.
func respondURLError(w http.ResponseWriter, err error) {
	status, message := http.StatusBadGateway, "Internal Server Error"
	switch {
	case errors.Is(err, ErrThrottled):
		status, message = http.StatusTooManyRequests, "Rate Exceeded."
	case errors.Is(err, ErrTooLarge):
		status, message = http.StatusRequestEntityTooLarge, "Request Entity Too Large"
	case errors.Is(err, errUnreadable):
		status, message = http.StatusBadRequest, "Bad Request"
	}
	reply(w, status, map[string]string{"Message": message})
}
