package awsapi

import (
	"io"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// client is the SDK's, whose requests succeed once a server has answered them.
//
// Where a server answers before the transport has seen the end of the body, the SDK closes the
// body, whose WriteTo then returns io.EOF (smithy-go 1.28.9, transport/http/internal/io), which the
// transport takes for a failed write: it closes the connection, and the SDK asks again for what was
// done, such as a table that now is there already. One request in thousands on a busy machine.
// Without WriteTo, Read's io.EOF is the end of the body.
type client struct{ *awshttp.BuildableClient }

func (c client) Do(request *http.Request) (*http.Response, error) {
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = struct{ io.ReadCloser }{request.Body}
	}
	return c.BuildableClient.Do(request)
}
