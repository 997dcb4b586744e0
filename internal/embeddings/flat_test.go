package embeddings

import (
	"bytes"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyUsers is a file of users that is made while it is read. It notes how much memory lives
// meanwhile.
type manyUsers struct {
	rows, next int
	left       bytes.Reader
	most       uint64
}

var oneOnly = ",\"[1" + strings.Repeat(",0", 31) + "]\"\n"

func (u *manyUsers) Read(into []byte) (int, error) {
	if u.left.Len() == 0 {
		switch {
		case u.next > u.rows:
			return 0, io.EOF
		case u.next == 0:
			u.left.Reset([]byte("id,embedding\n"))
		default:
			u.left.Reset([]byte(strconv.Itoa(u.next) + oneOnly))
		}
		if u.next%(u.rows/10) == 0 {
			u.most = max(u.most, living())
		}
		u.next++
	}
	return u.left.Read(into)
}

func living() uint64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// A tenth of what docs/vectors.md measures with test/bench/vectors: rows go through, whatever their
// number.
func TestALoadKeepsNoRows(t *testing.T) {
	store, _, _ := migrated(t)
	users := &manyUsers{rows: 100_000}
	large := model(one, randomItems(1, 10), nil)
	large.Users, large.UserCount = users, users.rows
	before := living()
	load(t, store, large, Switch)
	require.NotZero(t, users.most)
	assert.Less(t, int64(users.most)-int64(before), int64(1<<20), "bytes, of a file of 7 MB")
}
