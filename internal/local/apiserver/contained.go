package apiserver

import (
	"errors"
	"log"
	"net/http"
	"runtime/debug"
)

// Contained makes a panic of a handler one request's: it is logged, and answered with 500 where the
// handler has not begun to answer; else the connection is cut, so that nobody takes half an answer
// for a whole one.
func Contained(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &begun{ResponseWriter: w}
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if failure, ok := reason.(error); ok && errors.Is(failure, http.ErrAbortHandler) {
				panic(reason) // that is how a handler cuts its connection
			}
			log.Printf("%s %s: %v\n%s", r.Method, r.URL.Path, reason, debug.Stack())
			if watched.yes {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Amzn-Errortype", "InternalFailure")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"__type":"InternalFailure"}` + "\n")) // the client has hung up
		}()
		handler.ServeHTTP(watched, r)
	})
}

// begun knows whether an answer was begun.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) WriteHeader(status int) {
	b.yes = true
	b.ResponseWriter.WriteHeader(status)
}

func (b *begun) Write(text []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(text)
}

// Unwrap lets http.ResponseController and http.MaxBytesReader reach what is behind.
func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }
