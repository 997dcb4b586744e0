package wait

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errNotYet = errors.New("not yet")

func TestWhatComesLaterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, attempts := time.Now(), 0
		var told []time.Duration
		rule := Rule{For: time.Minute, Pause: time.Second, Longest: 3 * time.Second,
			Told: func(reason error, since time.Duration) {
				assert.Equal(t, errNotYet, reason)
				told = append(told, since)
			}}
		require.NoError(t, rule.Until(t.Context(), func(context.Context) error {
			if attempts++; attempts < 5 {
				return errNotYet
			}
			return nil
		}))
		assert.Equal(t, 9*time.Second, time.Since(begun), "1, 2, 3, 3")
		assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 6 * time.Second}, told)
	})
}

func TestWhatNeverComesEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, attempts := time.Now(), 0
		refused := errors.New("access denied")
		err := Rule{For: time.Minute, Pause: time.Second}.Until(t.Context(), func(context.Context) error {
			if attempts++; attempts == 1 {
				return errNotYet
			}
			return fmt.Errorf("log in: %w", Permanent(refused))
		})
		assert.EqualError(t, err, "log in: access denied")
		assert.ErrorIs(t, err, refused)
		assert.Equal(t, time.Second, time.Since(begun))
	})
}

func TestEveryWaitHasAnEndAndTellsTheLastReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		err := Rule{For: 10 * time.Second, Pause: 3 * time.Second}.Until(t.Context(),
			func(context.Context) error { return errNotYet })
		assert.EqualError(t, err, "10s have passed: not yet")
		assert.ErrorIs(t, err, errNotYet)
		assert.Equal(t, 10*time.Second, time.Since(begun))

		// An attempt that hangs is cut off, and hides no reason.
		attempts := 0
		err = Rule{For: 10 * time.Second, Pause: time.Second}.Until(t.Context(), func(ctx context.Context) error {
			if attempts++; attempts == 1 {
				return errNotYet
			}
			<-ctx.Done()
			return ctx.Err()
		})
		assert.EqualError(t, err, "10s have passed: not yet")

		ended := errors.New("the process has ended")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(ended) })
		err = Rule{For: time.Minute, Pause: time.Hour}.Until(ctx, func(context.Context) error { return errNotYet })
		assert.EqualError(t, err, "the process has ended: not yet")
		assert.ErrorIs(t, err, ended)
	})
}

func TestPermanentMarksAndChangesNothing(t *testing.T) {
	assert.NoError(t, Permanent(nil))
	assert.EqualError(t, Permanent(errNotYet), "not yet")
	assert.True(t, IsPermanent(fmt.Errorf("a: %w", errors.Join(errNotYet, Permanent(errNotYet)))))
	assert.False(t, IsPermanent(errNotYet))
	assert.False(t, IsPermanent(nil))
}

func TestUntrustedIsWhatTheOtherSideIs(t *testing.T) {
	trusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer trusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(trusted.Certificate())
	for name, test := range map[string]struct {
		address string
		config  *tls.Config
		want    bool
	}{
		"unknown authority": {trusted.Listener.Addr().String(), &tls.Config{}, true},
		"another host": {trusted.Listener.Addr().String(), &tls.Config{RootCAs: authorities,
			ServerName: "db.example.org"}, true},
		"no TLS": {plain.Listener.Addr().String(), &tls.Config{RootCAs: authorities}, true},
		"nobody": {"127.0.0.1:1", &tls.Config{RootCAs: authorities}, false},
	} {
		_, err := tls.Dial("tcp", test.address, test.config)
		require.Error(t, err, name)
		assert.Equal(t, test.want, Untrusted(err), "%s: %v", name, err)
	}
}

func TestAQuestionThatIsNotAnsweredSaysSo(t *testing.T) {
	type option struct{}
	question := "who"
	answer, err := Answer(t.Context(), time.Minute,
		func(_ context.Context, asked *string, _ ...option) (*string, error) { return asked, nil }, &question)
	require.NoError(t, err)
	assert.Equal(t, &question, answer)

	refused := errors.New("refused")
	_, err = Answer(t.Context(), time.Minute,
		func(context.Context, *string, ...option) (*string, error) { return nil, refused }, &question)
	require.Equal(t, refused, err, "an answer is handed on as it is")

	silent := func(ctx context.Context, _ *string, _ ...option) (*string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, err = Answer(t.Context(), time.Millisecond, silent, &question)
	require.EqualError(t, err, "no answer within 1ms")
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("interrupted"))
	_, err = Answer(stopped, time.Minute, silent, &question)
	require.EqualError(t, err, "interrupted")
}
