package hostiletest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answerTime bounds how long a server may take to answer one request; one that takes longer hangs.
const answerTime = 20 * time.Second

// Answer is what a server said.
type Answer struct {
	// Status is 0 where it closed the connection instead.
	Status int
	Body   string
}

// Send sends a request on a connection of its own. The error is that of a server that takes no
// connection, or hangs.
func (r Request) Send(address string) (Answer, error) {
	connection, err := net.DialTimeout("tcp", address, answerTime)
	if err != nil {
		return Answer{}, err
	}
	defer connection.Close()
	patience := cmp.Or(r.patience, answerTime)
	_ = connection.SetDeadline(time.Now().Add(patience))
	// A server may answer and close before it has read all.
	_, _ = connection.Write(bytes.Replace(r.Text, []byte(Host), []byte(address), 1))
	if r.Unfinished {
		_ = connection.(*net.TCPConn).SetLinger(0)
		return Answer{}, nil
	}
	if r.Garbage {
		_ = connection.(*net.TCPConn).CloseWrite()
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: r.method()})
	if hangs(err) {
		return Answer{}, fmt.Errorf("no answer within %s", patience)
	}
	if err != nil {
		return Answer{}, nil // it closed
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if hangs(err) {
		return Answer{}, fmt.Errorf("no whole answer within %s", patience)
	}
	return Answer{Status: response.StatusCode, Body: string(body)}, nil
}

func (r Request) method() string {
	method, _, _ := bytes.Cut(r.Text, []byte(" "))
	return string(method)
}

func hangs(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// Fuzz sends hostile requests to a server, and asks after every hundred of them, and at the end,
// whether it holds: whether what was stored is there, and more can be. It returns how many answers
// of each status there were; 0 counts the closed connections.
func Fuzz(t testing.TB, address string, requests []Request, holds func()) map[int]int {
	t.Helper()
	statuses := map[int]int{}
	for n, request := range requests {
		answer, err := request.Send(address)
		require.NoError(t, err, "request %d: %s", n, request.Name)
		statuses[answer.Status]++
		if answer.Status == 0 && !request.Garbage && !request.Unfinished && len(request.Text) < oversized {
			t.Logf("request %d: %s: closed without an answer", n, request.Name)
		}
		if answer.Status >= http.StatusInternalServerError {
			t.Logf("request %d: %s: %d %.300s", n, request.Name, answer.Status, answer.Body)
		}
		if n%100 == 99 {
			holds()
		}
	}
	holds()
	return statuses
}
