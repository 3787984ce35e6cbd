package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// readLines reads a file of what -json and -out write.
func readLines(path string) ([]line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []line
	for d := json.NewDecoder(bufio.NewReader(f)); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(out)+1, err)
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no line in it", path)
	}
	return out, nil
}

// writeLines writes a file that readLines reads.
func writeLines(path string, all []line) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, l := range all {
		if err == nil {
			err = enc.Encode(l)
		}
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
