// Command specimen is a server of the fleet's tests: it tells who answers, and does what it is
// told to.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

const version = "one"

func main() {
	var ill bool
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ill || version == "ill" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, version) })
	http.HandleFunc("/id", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, metadata("instance-id")) })
	http.HandleFunc("/zone", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, metadata("placement/availability-zone"))
	})
	http.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) {
		for _, variable := range os.Environ() {
			_, _ = fmt.Fprintln(w, variable)
		}
	})
	http.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	http.HandleFunc("/fall-ill", func(http.ResponseWriter, *http.Request) { ill = true })
	if version == "dead" {
		fmt.Println("this build does not start")
		os.Exit(3)
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("WEB_PORT"), Handler: http.HandlerFunc(keyed)}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		fmt.Println("asked to end")
		_ = server.Close()
	}()
	fmt.Println(server.ListenAndServe())
}

func keyed(w http.ResponseWriter, r *http.Request) {
	if version != "open" && r.Header.Get("X-Diecast-Key") != os.Getenv("WEB_KEY") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	http.DefaultServeMux.ServeHTTP(w, r)
}

func metadata(path string) string {
	endpoint := os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	request, _ := http.NewRequest(http.MethodPut, endpoint+"/latest/api/token", nil)
	request.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "60")
	token := answer(request)
	request, _ = http.NewRequest(http.MethodGet, endpoint+"/latest/meta-data/"+path, nil)
	request.Header.Set("X-aws-ec2-metadata-token", token)
	return answer(request)
}

func answer(request *http.Request) string {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}
