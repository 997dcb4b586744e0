// Package wait asks again until something is there, and ends at once where it never will be.
//
// Every wait has an end, tells the last reason when it comes to it, and knows the errors that no
// waiting mends: a refused login, a thing that does not exist, a certificate that is not to be
// trusted. Which those are is known where the answer is understood (awswait, mysqlwait and pgwait);
// whoever waits marks them by Permanent.
package wait

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// permanent is an error that no waiting mends. It reads as the error itself.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that no waiting mends; nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// PermanentIf marks an error by Permanent where it is final; nil stays nil.
func PermanentIf(final func(error) bool, err error) error {
	if err != nil && final(err) {
		return Permanent(err)
	}
	return err
}

// IsPermanent says whether an error, or one that it wraps, is marked by Permanent.
func IsPermanent(err error) bool {
	var marked permanent
	return errors.As(err, &marked)
}

// Untrusted says whether a connection failed for what the other side is: a certificate that is not
// to be trusted, or no TLS at all.
func Untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		host         x509.HostnameError
		invalid      x509.CertificateInvalidError
		plain        tls.RecordHeaderError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &plain)
}

// Rule is how to wait.
type Rule struct {
	// For is how long in all. Required.
	For time.Duration
	// Pause between two attempts. Required.
	Pause time.Duration
	// Longest pause: each one is twice the one before, up to this. Default: Pause, all are equal.
	Longest time.Duration
	// Told is called after each attempt that failed and will be repeated, with its reason and the
	// time since the first. Default: nobody.
	Told func(reason error, since time.Duration)
}

// Until makes attempts until one succeeds, one fails for good, the rule's time is over, or the
// context ends; each attempt's context ends with the wait. The error is the permanent one itself,
// or says how long was waited and wraps the last reason beside the cause of the end.
func (r Rule) Until(ctx context.Context, attempt func(context.Context) error) error {
	over := fmt.Errorf("%s have passed", r.For)
	ctx, cancel := context.WithTimeoutCause(ctx, r.For, over)
	defer cancel()
	begun := time.Now()
	var last error
	for pause := r.Pause; ; pause = min(2*pause, max(r.Longest, r.Pause)) {
		err := attempt(ctx)
		switch {
		case err == nil || IsPermanent(err):
			return err
		case ctx.Err() != nil && last != nil && errors.Is(err, ctx.Err()):
			// The attempt was cut off: what the one before said tells more.
		default:
			last = err
		}
		if ctx.Err() == nil && r.Told != nil {
			r.Told(err, time.Since(begun))
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if last == nil {
				last = err
			}
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		}
	}
}

// Answer asks an AWS client one question, and says so where no answer comes within the limit.
func Answer[Input, Output, Option any](
	ctx context.Context, limit time.Duration, ask func(context.Context, *Input, ...Option) (*Output, error),
	input *Input,
) (*Output, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	answer, err := ask(ctx, input)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answer, err
}
