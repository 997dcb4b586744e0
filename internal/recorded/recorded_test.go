package recorded

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const good = `{"session_id":"s%d","customer_number":103,"city":"Nantes","country":"France","credit_limit":21000}`

func collect(t *testing.T, text string) (sessions, problems []string) {
	t.Helper()
	for line, err := range Read(strings.NewReader(text)) {
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		sessions = append(sessions, fmt.Sprintf("%d %s", line.Number, line.Event.SessionID))
	}
	return sessions, problems
}

func TestEveryLineAndFieldThatBreaksTheContractIsNamed(t *testing.T) {
	lines := []string{
		fmt.Sprintf(good, 1),
		`{"session_id":"s2","customer_number":"guest","city":"Nantes","country":33,"credit_limit":-1}`,
		"",
		`{"session_id":"s4"`,
		fmt.Sprintf(good, 5) + "\r",
		strings.Repeat("x", MaxLine+1),
		strings.Repeat(" ", MaxLine+100),
		fmt.Sprintf(good, 8),
	}
	sessions, problems := collect(t, "\xef\xbb\xbf"+strings.Join(lines, "\n"))
	assert.Equal(t, []string{"1 s1", "5 s5", "8 s8"}, sessions)
	require.Len(t, problems, 4)
	assert.Equal(t, `line 2: customer_number: got "guest", want a whole number from 0 to 2147483647; `+
		`country: got 33, want a string of 0 to 100 characters; credit_limit: got -1, want a number from 0 to 1e+09`,
		problems[0])
	assert.Contains(t, problems[1], "line 4: document: got an unfinished value")
	for n, number := range []int{6, 7} {
		assert.Equal(t, fmt.Sprintf("line %d: document: got a longer line, want at most 1048576 bytes", number),
			problems[2+n])
	}
}

func TestAnEmptyFileHasNoEvents(t *testing.T) {
	for _, text := range []string{"", "\n", "\r\n\r\n", "\xef\xbb\xbf"} {
		sessions, problems := collect(t, text)
		assert.Empty(t, sessions)
		assert.Empty(t, problems)
	}
}

func TestAnotherContainerEndsTheReading(t *testing.T) {
	sessions, problems := collect(t, "\x1f\x8b\x08\n{}\n{}\n")
	assert.Empty(t, sessions)
	assert.Equal(t, []string{"line 1: it is compressed by gzip: unpack it"}, problems)
}

func TestAFailingReaderEndsTheReading(t *testing.T) {
	broken := errors.New("the disk is gone")
	var told error
	for _, err := range Read(iotest.ErrReader(broken)) {
		told = err
	}
	require.ErrorIs(t, told, broken)
}
