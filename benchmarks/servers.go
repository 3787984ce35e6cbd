package main

import (
	"fmt"
	"net/url"
	"os"
)

// shared are the servers that `make services` starts, by the scheme of their
// URLs, and the variables that name others.
var shared = map[string]struct{ env, url string }{
	"postgres": {"MILLRACE_TEST_POSTGRES", "postgres://millrace:millrace@127.0.0.1:27432/millrace?sslmode=disable"},
	"redis":    {"MILLRACE_TEST_REDIS", "redis://127.0.0.1:27379/0"},
	"amqp":     {"MILLRACE_TEST_AMQP", "amqp://millrace:millrace@127.0.0.1:27672/"},
}

// serverURLs are URLs of servers, by scheme.
type serverURLs map[string]string

// sharedServers are those of `make services`, or of the environment.
func sharedServers() serverURLs {
	out := serverURLs{}
	for name, s := range shared {
		out[name] = s.url
		if v := os.Getenv(s.env); v != "" {
			out[name] = v
		}
	}
	return out
}

// resolve completes a URL that names no server, such as redis: or
// postgres:?x=y. Others stay as they are.
func (s serverURLs) resolve(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("URL: %w", err)
	}
	base, known := s[u.Scheme]
	if !known || u.Host != "" || u.Opaque != "" || u.Path != "" {
		return rawURL, nil
	}
	server, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("URL of the %s server: %w", u.Scheme, err)
	}
	addQuery(server, u.Query())
	return server.String(), nil
}

// addQuery sets query parameters of a URL.
func addQuery(u *url.URL, add url.Values) {
	if len(add) == 0 {
		return
	}
	q := u.Query()
	for key, values := range add {
		q[key] = values
	}
	u.RawQuery = q.Encode()
}
