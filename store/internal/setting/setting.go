// Package setting reads the settings that stand behind a store's URL.
package setting

import (
	"fmt"
	"net/url"
)

// Each calls set for each setting of a URL. Those that are given twice, or
// without a value, are errors, as is what set returns.
func Each(u *url.URL, set func(key, value string) error) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("settings of the URL: %w", err)
	}
	for key, all := range values {
		if len(all) != 1 || all[0] == "" {
			return fmt.Errorf("setting %q of the URL must be given once, with a value", key)
		}
		if err := set(key, all[0]); err != nil {
			return err
		}
	}
	return nil
}

// Invalid says that a setting has a value that can't be read, or nothing when
// err is nil.
func Invalid(key, value string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("setting %s=%s of the URL: %w", key, value, err)
}
